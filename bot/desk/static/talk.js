// The middle and the right: what was said, and what is known about the customer.
import { byId, element, word } from "./page.js";

const ZONE = "Asia/Shanghai";
const time = new Intl.DateTimeFormat("zh-CN", { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: ZONE });
const date = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit", timeZone: ZONE });
const shown = new Set(); // ids of the events on screen
let lastDay = "";

export const talk = byId("talk");

function day(at) {
  const iso = date.format(at);
  if (iso === date.format(Date.now())) return word("today");
  if (iso === date.format(Date.now() - 86_400_000)) return word("yesterday");
  const [, month, number] = iso.split("-");
  return word("date", { month: Number(month), day: Number(number) });
}

export function moment(at) {
  return at ? `${day(at)} ${time.format(at)}` : word("none");
}

function bubble(message) {
  if (message.kind === "handoff") {
    const mark = element("li", "mark-line");
    mark.append(element("span", "", `${message.text} · ${time.format(message.at)}`));
    return mark;
  }
  const item = element("li", `said ${message.kind}`);
  const head = element("div", "said-head");
  const who = message.kind === "agent" ? message.agent : word("who_" + message.kind);
  head.append(element("span", "", who), element("time", "", time.format(message.at)));
  const text = message.text || word(message.picture ? "picture" : "no_text");
  item.append(head, element("div", "bubble", text));
  if (message.buttons) {
    const row = element("div", "choices");
    row.append(...message.buttons.map((title) => element("span", "", title)));
    item.append(row);
  }
  return item;
}

let atEnd = true; // whether the newest message was in sight when the reader last scrolled

const nearEnd = () => talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;

export function toEnd() {
  atEnd = true;
  talk.scrollTop = talk.scrollHeight;
  byId("below").hidden = true;
}

export function clear() {
  shown.clear();
  lastDay = "";
  talk.replaceChildren();
  byId("below").hidden = true;
}

export function add(messages) {
  const follow = shown.size === 0 || atEnd;
  for (const message of messages) {
    if (shown.has(message.id)) continue;
    shown.add(message.id);
    const today = day(message.at);
    if (today !== lastDay) talk.append(element("li", "day", today));
    lastDay = today;
    talk.append(bubble(message));
  }
  if (follow) toEnd();
  else byId("below").hidden = false;
}

export function facts(handoff) {
  const list = byId("facts");
  list.replaceChildren();
  const row = (name, text) => list.append(element("dt", "", word(name)), element("dd", "", text || word("none")));
  row("customer", handoff.name);
  row("topic", handoff.topic);
  row("city", handoff.city);
  row("reason", handoff.reason);
  row("flow", handoff.flow);
  if (handoff.slots.length) list.append(element("dt", "", word("slots")));
  for (const slot of handoff.slots) {
    const line = element("dd", "slot");
    line.append(element("span", "", slot.label), element("b", "", slot.text));
    list.append(line);
  }
  row("requested", moment(handoff.requested_at));
  if (handoff.taken_at) row("taken", moment(handoff.taken_at));
  if (handoff.agent) row("agent", handoff.agent);
}

talk.addEventListener("scroll", () => {
  atEnd = nearEnd();
  if (atEnd) byId("below").hidden = true;
});
new ResizeObserver(() => { if (atEnd) toEnd(); }).observe(talk); // a phone's keyboard, a growing reply
byId("below").addEventListener("click", toEnd);
