// What both pages need: the words that the server gave, elements, times in Shanghai, the clipboard.

export const words = JSON.parse(document.querySelector('meta[name="ui-words"]').content);

export const find = (id) => document.getElementById(id);

export function fill(word, facts) {
  return word.replace(/\{(\w+)\}/g, (_, key) => facts[key]);
}

// Text is always set as text: markup in a message stays characters.
export function make(tag, className = "", text = null) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  return element;
}

const ZONE = { timeZone: "Asia/Shanghai" };
const clock = new Intl.DateTimeFormat("zh-CN", { ...ZONE, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat("zh-CN", { ...ZONE, month: "long", day: "numeric" });
const date = new Intl.DateTimeFormat("en-CA", ZONE);

// A time in UTC milliseconds, as a messenger says it: 10:32, yesterday 10:32, or the date.
export function when(at) {
  const said = date.format(at);
  if (said === date.format(Date.now())) return clock.format(at);
  if (said === date.format(Date.now() - 86400000)) return `${words.yesterday} ${clock.format(at)}`;
  return `${day.format(at)} ${clock.format(at)}`;
}

export function random() {
  const bytes = crypto.getRandomValues(new Uint8Array(24)); // randomUUID exists only on https and localhost
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const field = make("textarea", "unseen", text);
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
