// The desk: one live line from the server, and what the agent does.
import { byId, call, word } from "./page.js";
import * as lists from "./lists.js";
import * as talk from "./talk.js";

const desk = byId("desk"), text = byId("text");
const drafts = new Map(); // handoff id → { text, key }: what was typed and not yet sent
let me, line, again, latest = { queue: [], mine: [], others: [] };
let open = null; // id of the handoff on screen
let handoff = null;
let busy = false;

function toast(message) {
  const box = byId("toast");
  box.textContent = message;
  box.hidden = false;
  clearTimeout(box.timer);
  box.timer = setTimeout(() => { box.hidden = true; }, 5000);
}

function refused(fault) {
  if (fault.status === 401) location.assign("/desk/login");
  else toast(fault.message);
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
}

function lamp(on) {
  byId("lamp").classList.toggle("on", on);
  byId("lamp-text").textContent = word(on ? "online" : "offline");
}

function listen() {
  line?.close();
  clearTimeout(again);
  line = new EventSource("/desk/api/live" + (open ? `?handoff=${open}&after=0` : ""));
  line.onopen = () => lamp(true);
  line.onerror = () => {
    lamp(false);
    if (line.readyState !== EventSource.CLOSED) return;
    again = setTimeout(listen, 3000);
    call("me").catch((fault) => { if (fault.status === 401) refused(fault); });
  };
  line.addEventListener("lists", (event) => {
    latest = JSON.parse(event.data);
    lists.setClock(latest.now);
    lists.show(latest, open, choose);
  });
  line.addEventListener("handoff", (event) => showHandoff(JSON.parse(event.data)));
  line.addEventListener("messages", (event) => {
    const data = JSON.parse(event.data);
    if (data.handoff === open) talk.add(data.messages);
  });
  line.addEventListener("refused", (event) => {
    const fault = JSON.parse(event.data);
    refused(fault);
    if (fault.status !== 401) leave();
  });
}

function choose(id) {
  keepDraft();
  desk.dataset.view = "talk";
  desk.classList.remove("informed");
  if (open === id) return;
  open = id;
  handoff = null;
  talk.clear();
  byId("blank").hidden = true;
  byId("open").hidden = true;
  byId("card").hidden = true;
  lists.show(latest, open, choose);
  listen();
}

function leave() {
  keepDraft();
  open = null;
  handoff = null;
  desk.dataset.view = "lists";
  byId("open").hidden = true;
  byId("card").hidden = true;
  byId("blank").hidden = false;
  lists.show(latest, open, choose);
  listen();
}

function showHandoff(data) {
  if (data.id !== open) return;
  const fresh = handoff === null;
  handoff = data;
  const mine = data.state === "held" && data.agent_id === me.id;
  const other = data.state === "held" && !mine;
  byId("open").hidden = false;
  byId("card").hidden = false;
  byId("talk-name").textContent = data.name;
  byId("talk-about").textContent = `${data.topic} · ${data.city}`;
  byId("take").hidden = data.state !== "waiting";
  byId("return").hidden = byId("close").hidden = !(mine || (other && me.supervises));
  byId("state").className = "state " + (other ? "other" : data.state);
  byId("state").textContent = word("state_" + (other ? "other" : data.state), { agent: data.agent });
  const wasHidden = byId("reply").hidden;
  byId("reply").hidden = !mine;
  if (mine && (fresh || wasHidden)) {
    text.value = drafts.get(open)?.text ?? "";
    byId("send").disabled = !text.value.trim();
    if (matchMedia("(min-width: 861px)").matches) text.focus();
  }
  if (mine) lists.markSeen(data.id, data.last_id);
  talk.facts(data);
  if (fresh || wasHidden === mine) talk.toEnd();
}

function keepDraft() {
  if (!handoff || byId("reply").hidden) return;
  const before = drafts.get(handoff.id);
  if (before?.text !== text.value) drafts.set(handoff.id, { text: text.value, key: newKey() });
}

async function act(what) {
  if (busy || !open) return;
  busy = true;
  try {
    await call(`handoffs/${open}/${what}`, { csrf: me.csrf });
  } catch (fault) {
    refused(fault);
  } finally {
    busy = false;
  }
}

async function send() {
  if (busy || !text.value.trim()) return;
  busy = true;
  keepDraft();
  const to = open, draft = drafts.get(to);
  byId("send").disabled = true;
  try {
    const { ends } = await call(`handoffs/${to}/say`, { csrf: me.csrf, body: draft });
    drafts.delete(to);
    if (open === to && text.value === draft.text) text.value = "";
    if (ends === 0) toast(word("unreachable"));
    talk.toEnd();
  } catch (fault) {
    refused(fault);
  } finally {
    busy = false;
    byId("send").disabled = !text.value.trim();
  }
}

function askClose() {
  byId("ask-title").textContent = word("close_ask", { name: handoff.name });
  byId("ask").returnValue = "";
  byId("ask").showModal();
}

byId("take").addEventListener("click", () => act("take"));
byId("return").addEventListener("click", () => act("return"));
byId("close").addEventListener("click", askClose);
byId("ask").addEventListener("close", () => { if (byId("ask").returnValue === "yes") act("close"); });
byId("back").addEventListener("click", leave);
byId("info").addEventListener("click", () => {
  byId("info").setAttribute("aria-expanded", String(desk.classList.toggle("informed")));
});
byId("reply").addEventListener("submit", (event) => { event.preventDefault(); send(); });
text.addEventListener("input", () => { byId("send").disabled = busy || !text.value.trim(); });
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
byId("logout").addEventListener("click", () => {
  call("logout", { csrf: me.csrf }).then(() => location.assign("/desk/login"), refused);
});

async function start() {
  lamp(false);
  me = await call("me");
  byId("my-name").textContent = me.name;
  byId("my-role").textContent = word("role_" + me.role);
  if (matchMedia("(max-width: 860px)").matches) text.placeholder = word("reply_short");
  setInterval(lists.tick, 1000);
  listen();
}

start().catch(refused);
