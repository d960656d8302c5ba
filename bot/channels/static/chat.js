// The chat page: joins the connection, the log and the input.

import { fill, find, random, words } from "./page.js";
import { Link } from "./link.js";
import { pictureIn, prepare } from "./picture.js";
import { View } from "./view.js";

const LIMIT = 10000; // characters of one message
const PAUSE = 250; // milliseconds before the dots appear: a quick answer needs none
const NOTICE = 1500; // milliseconds before a lost connection is worth a word

const input = find("input");
const frames = new Map(); // messages that may have to be sent again, by id
const answered = new Set();
let picture = null;
let dots = 0;
let noticing = 0;

const view = new View({ onPress: press, onRetry: retry });
const link = new Link({ city: new URLSearchParams(location.search).get("city"), onFrame: receive, onState: state });

function receive(frame) {
  if (frame.type === "history") recall(frame);
  else if (frame.type === "header") title(frame);
  else if (frame.type === "typing") wait();
  else if (frame.type === "turn") turn(frame);
  else if (frame.type === "push") show(frame.replies, frame.at);
  else if (frame.type === "error") fault(frame);
}

function recall({ items, again }) {
  quiet();
  if (!again) view.clear();
  for (const item of items) {
    if (item.id && view.mine.has(item.id)) view.fate(item.id, "sent");
    else view.add(item, { quiet: !again });
    if (item.id) answered.add(item.id);
  }
  const last = items.at(-1);
  if (last) view.offer(last.buttons || []);
  if (last?.author === "agent") state("agent");
  for (const [id, frame] of link.outbox) {
    if (view.mine.has(id)) continue;
    frames.set(id, frame);
    view.add(own(frame));
    view.fate(id, "waiting");
  }
  find("welcome").hidden = !view.empty;
  if (!again) view.toEnd();
}

function turn({ id, user, forget, replies, at }) {
  if (answered.has(id)) return;
  answered.add(id);
  frames.delete(id);
  quiet();
  if (!view.mine.has(id)) view.add({ author: "user", text: forget ? words.hidden : user.text, picture: user.picture, at, id });
  view.fate(id, "sent");
  if (forget) view.mask(id);
  find("welcome").hidden = true;
  view.withdraw();
  show(replies, at);
}

function show(replies, at) {
  for (const reply of replies) {
    view.add({ ...reply, at });
    state(reply.author === "agent" ? "agent" : "online");
  }
  const buttons = replies.flatMap((reply) => reply.buttons || []);
  if (buttons.length) view.offer(buttons);
}

function fault({ id, error }) {
  quiet();
  if (id) view.fate(id, "failed", error);
  else if (error) notice(error);
}

function own({ id, text, title: pressed, image }) {
  return { author: "user", text: pressed ?? text, at: Date.now(), id, local: image };
}

function say(frame) {
  frames.set(frame.id, frame);
  find("welcome").hidden = true;
  view.withdraw();
  view.add(own(frame));
  view.fate(frame.id, "waiting");
  link.post(frame);
}

function press(caption, payload) {
  const what = payload ? { type: "press", payload, title: caption } : { type: "message", text: caption };
  say({ ...what, id: random() });
  input.focus({ preventScroll: true });
}

function retry(id) {
  const frame = frames.get(id);
  if (!frame) return;
  view.fate(id, "waiting");
  link.post(frame);
}

function submit() {
  const text = input.value.trim();
  if (!text && !picture) return;
  if (text.length > LIMIT) {
    notice(fill(words.too_long, { limit: LIMIT }));
    return;
  }
  say({ type: "message", id: random(), text, ...(picture && { image: picture }) });
  input.value = "";
  attach(null);
}

function wait() {
  clearTimeout(dots);
  dots = setTimeout(() => view.typing(true), PAUSE);
}

function quiet() {
  clearTimeout(dots);
  view.typing(false);
}

function title({ wallet, city }) {
  if (wallet) find("wallet").textContent = wallet;
  if (city) find("city").textContent = city;
}

function state(now) {
  const here = now === "online" || now === "agent";
  find("lamp").classList.toggle("on", here);
  find("state").textContent = now === "agent" ? words.agent_online : here ? words.online : words.connecting;
  clearTimeout(noticing);
  if (here) find("notice").hidden = true;
  else {
    quiet();
    noticing = setTimeout(() => keep(words[now]), NOTICE);
  }
}

function keep(text) {
  find("notice").textContent = text;
  find("notice").hidden = false;
}

function notice(text) {
  keep(text);
  clearTimeout(noticing);
  noticing = setTimeout(() => (find("notice").hidden = true), 5000);
}

function fit() {
  input.style.height = "auto";
  input.style.height = `${Math.min(input.scrollHeight + 2, 132)}px`;
  find("send").disabled = !input.value.trim() && !picture;
}

async function take(file) {
  if (!file) return;
  try {
    attach(await prepare(file));
    input.focus();
  } catch {
    notice(words.picture_unreadable);
  }
}

function attach(uri) {
  picture = uri;
  find("preview").hidden = !uri;
  if (uri) find("preview-picture").src = uri;
  find("file").value = "";
  fit();
}

input.addEventListener("input", fit);
input.addEventListener("keydown", (event) => {
  // Enter that ends a pinyin composition belongs to the input method.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  input.focus({ preventScroll: true });
});
find("pick").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", (event) => take(event.target.files[0]));
find("preview-remove").addEventListener("click", () => attach(null));
for (const button of document.querySelectorAll("[data-say]")) {
  button.addEventListener("click", () => say({ type: "message", id: random(), text: button.dataset.say }));
}

document.addEventListener("paste", (event) => {
  const file = pictureIn(event.clipboardData);
  if (!file) return;
  event.preventDefault();
  take(file);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").hidden = ![...event.dataTransfer.types].includes("Files");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) find("drop").hidden = true;
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").hidden = true;
  take(pictureIn(event.dataTransfer));
});
