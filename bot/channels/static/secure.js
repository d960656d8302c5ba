// The one-time page: opens what the link names, asks what the wallet asks, shows recovery codes once.

import { copy, fill, find, make, when, words } from "./page.js";

const WAIT = 60; // seconds before another code may be asked for here; the server has limits of its own
const KINDS = {
  code: { inputMode: "numeric", autocomplete: "one-time-code", maxLength: 12 },
  app_code: { inputMode: "numeric", autocomplete: "one-time-code", maxLength: 12 },
  second: { autocomplete: "one-time-code", maxLength: 32 },
  id_number: { autocomplete: "off", maxLength: 32 },
  password: { type: "password", autocomplete: "current-password", maxLength: 128 },
  new: { type: "password", autocomplete: "new-password", maxLength: 128 },
  again: { type: "password", autocomplete: "new-password", maxLength: 128 },
};

const token = location.hash.slice(1);
const inputs = new Map(); // name of an answer → its input
let purpose = "";

async function ask(act, answers = {}) {
  let answer;
  try {
    answer = await fetch(`/secure/${act}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, ...answers }),
      cache: "no-store",
    });
    const body = await answer.json();
    if (answer.ok) return body;
    if (body.over) end(words.secure_broken, body.error, false);
    else complain(body.error);
  } catch {
    complain(words.secure_unreachable);
  }
  return null;
}

async function open() {
  const page = await ask("open");
  find("opening").hidden = true;
  if (!page) {
    if (find("end").hidden) end(words.secure_broken, find("error").textContent || words.secure_broken_lead, false);
    return;
  }
  purpose = page.purpose;
  find("purpose").textContent = words[`secure_purpose_${purpose}`];
  find("lead").textContent = words[`secure_lead_${purpose}`];
  find("who").textContent = `${page.person} · ${fill(words.secure_until, { time: when(Date.parse(page.expires_at)) })}`;
  if (page.order) showOrder(page.order);
  if (page.qr) showOffer(page);
  for (const name of page.asks) {
    addField(name);
    if (name === "new") addField("again");
  }
  find("ask").hidden = false;
  inputs.values().next().value.focus();
}

function showOrder(text) {
  for (const line of text.split("\n")) {
    const [name, ...value] = line.split(" ");
    const row = make("div");
    row.append(make("dt", "", name), make("dd", "", value.join(" ")));
    find("order").append(row);
  }
  find("order").hidden = false;
}

function showOffer({ qr, secret }) {
  find("qr").src = qr;
  find("secret").textContent = secret;
  copies(find("copy-secret"), () => secret.replaceAll(" ", ""), words.secure_copy);
  find("offer").hidden = false;
}

function copies(button, text, word) {
  button.addEventListener("click", async () => {
    await copy(text());
    button.textContent = words.secure_copied;
    setTimeout(() => (button.textContent = word), 2000);
  });
}

function addField(name) {
  const field = make("div", "field");
  const label = make("label", "", words[name === "password" && ["enter_password", "unfreeze"].includes(purpose) ? "secure_ask_password_enter" : `secure_ask_${name}`]);
  const line = make("div", "line");
  const input = Object.assign(make("input"), { id: `field-${name}`, type: "text", spellcheck: false, required: true, ...KINDS[name] });
  input.setAttribute("autocapitalize", "off");
  label.htmlFor = input.id;
  line.append(input);
  field.append(label, line);
  if (name === "code") addSender(field, line);
  if (input.type === "password") addEye(line, input);
  input.addEventListener("input", () => field.classList.remove("wrong"));
  inputs.set(name, input);
  find("fields").append(field);
}

function addEye(line, input) {
  const button = make("button", "", words.secure_show);
  button.type = "button";
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => {
    const hidden = input.type === "password";
    input.type = hidden ? "text" : "password";
    button.textContent = hidden ? words.secure_hide : words.secure_show;
    input.focus();
  });
  line.append(button);
}

function addSender(field, line) {
  const button = make("button", "", words.secure_send_code);
  const hint = make("p", "hint");
  hint.setAttribute("role", "status");
  button.type = "button";
  button.addEventListener("click", async () => {
    button.disabled = true;
    const sent = await ask("code");
    if (!sent) {
      button.disabled = false;
      return;
    }
    find("error").hidden = true;
    hint.textContent = fill(words.secure_code_sent, { phone: sent.phone, time: when(Date.parse(sent.expires_at)) });
    inputs.get("code").focus();
    rest(button, WAIT);
  });
  line.append(button);
  field.append(hint);
}

function rest(button, seconds) {
  button.disabled = seconds > 0;
  button.textContent = seconds > 0 ? fill(words.secure_again_after, { seconds }) : words.secure_send_code;
  if (seconds > 0) setTimeout(() => rest(button, seconds - 1), 1000);
}

function complain(text, input = null) {
  find("error").textContent = text;
  find("error").hidden = false;
  if (input) {
    input.closest(".field").classList.add("wrong");
    input.focus();
  }
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  find("error").hidden = true;
  const empty = [...inputs.values()].find((input) => !input.value.trim());
  if (empty) {
    complain(words.secure_empty, empty);
    return;
  }
  const answers = Object.fromEntries([...inputs].map(([name, input]) => [name, input.value]));
  if ("again" in answers && answers.again !== answers.new) {
    complain(words.secure_differs, inputs.get("again"));
    return;
  }
  delete answers.again;
  const submit = find("submit");
  submit.disabled = true;
  submit.textContent = words.secure_submitting;
  const done = await ask("use", answers);
  submit.disabled = false;
  submit.textContent = words.secure_submit;
  if (done) finish(done.codes);
});

function finish(codes) {
  end(words[`secure_done_${purpose}`], codes.length ? words.secure_codes : words.secure_back, true);
  for (const code of codes) find("codes").append(make("li", "", code));
  copies(find("copy-codes"), () => codes.join("\n"), words.secure_copy_codes);
  find("recovery").hidden = !codes.length;
}

// Nothing that was typed or shown before stays on the page, and the address opens nothing any more.
function end(outcome, after, well) {
  for (const input of inputs.values()) input.value = "";
  find("opening").hidden = true;
  find("ask").remove();
  find("tick").toggleAttribute("hidden", !well);
  find("outcome").textContent = outcome;
  find("after").textContent = after;
  find("end").hidden = false;
  find("outcome").focus();
  history.replaceState(null, "", location.pathname);
}

open();
