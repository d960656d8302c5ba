// The simulated phone: asks what was sent, and shows the messages of one number.

import { copy, find, make, when, words } from "./page.js";

const PERIOD = 1000; // milliseconds between two looks while the page is seen
const GAP = 3 * 60 * 1000; // milliseconds after which a time is shown

const select = find("number");
let wanted = new URLSearchParams(location.search).get("to");
let messages = []; // oldest first
let shown = ""; // what stands on the screen, to draw only what changed
let first = true;

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/dev/outbox", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      receive((await answer.json()).reverse());
      find("lost").hidden = true;
    } catch {
      find("lost").hidden = false;
    }
  }
  find("clock").textContent = when(Date.now());
  setTimeout(look, PERIOD);
}

function receive(all) {
  const grown = all.length > messages.length;
  messages = all;
  const numbers = [...new Set(all.map((message) => message.to).reverse())];
  if (grown && !first && !wanted) select.value = ""; // the phone that rings is the one to look at
  const chosen = wanted || (grown || !numbers.includes(select.value) ? numbers[0] : select.value);
  if (wanted && !numbers.includes(wanted)) numbers.push(wanted);
  numbers.sort();
  if (numbers.join() !== [...select.options].map((option) => option.value).join()) {
    select.replaceChildren(...numbers.map((number) => new Option(number, number)));
  }
  select.hidden = !numbers.length;
  if (chosen) select.value = chosen;
  draw();
  first = false;
}

function draw() {
  const mine = messages.filter((message) => message.to === select.value);
  const key = JSON.stringify([select.value, mine.length]);
  find("nothing").hidden = mine.length > 0;
  if (key === shown) return;
  const inbox = find("inbox");
  const [number, count] = shown ? JSON.parse(shown) : ["", 0];
  const kept = number === select.value && count <= mine.length ? count : 0;
  if (!kept) inbox.replaceChildren();
  mine.slice(kept).forEach((message, index) => {
    const before = mine[kept + index - 1];
    const at = Date.parse(message.at);
    if (!before || at - Date.parse(before.at) > GAP) inbox.append(make("p", "time", when(at)));
    inbox.append(bubble(message, shown !== ""));
  });
  shown = key;
  find("scroll").scrollTop = find("scroll").scrollHeight;
}

function bubble({ text, code, channel }, fresh) {
  const sms = make("article", fresh ? "sms fresh" : "sms");
  if (channel === "mail") sms.append(make("p", "kind", words.phone_mail));
  sms.append(make("p", "", text));
  if (!code) return sms;
  const line = make("div", "code");
  const button = make("button", "", words.phone_copy);
  button.type = "button";
  button.addEventListener("click", async () => {
    await copy(code);
    button.textContent = words.phone_copied;
    setTimeout(() => (button.textContent = words.phone_copy), 2000);
  });
  const digits = make("output", "", code);
  digits.setAttribute("aria-label", `${words.phone_code} ${[...code].join(" ")}`);
  line.append(digits, button);
  sms.append(line);
  return sms;
}

select.addEventListener("change", () => {
  wanted = null;
  draw();
});
look();
