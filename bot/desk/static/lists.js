// The left column: what waits, what is mine, what colleagues hold, with times that run.
import { byId, element, word } from "./page.js";

// handoff id → id of the newest customer message that was on screen, in this browser tab
const seen = new Map(JSON.parse(sessionStorage.getItem("seen") ?? "[]"));
const clocks = new Set(); // elements that show a running time
let skew = 0; // the server's clock minus ours, in milliseconds

export function setClock(now) {
  skew = now - Date.now();
}

export function markSeen(handoff, lastId) {
  seen.set(handoff, Math.max(lastId, seen.get(handoff) ?? 0));
  sessionStorage.setItem("seen", JSON.stringify([...seen].slice(-200)));
}

export function elapsed(since) {
  const all = Math.max(0, Math.floor((Date.now() + skew - since) / 1000));
  const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60, seconds = all % 60;
  if (hours) return word("hours", { hours, minutes });
  return minutes ? word("minutes", { minutes, seconds }) : word("seconds", { seconds });
}

function clock(kind, since) {
  const made = element("span");
  made.tick = () => { made.textContent = word(kind, { time: elapsed(since) }); };
  made.tick();
  clocks.add(made);
  return made;
}

export function tick() {
  for (const one of clocks) one.isConnected ? one.tick() : clocks.delete(one);
}

export function face(name) {
  return element("span", "face", [...name].at(-1));
}

function side(row) {
  if (row.position) return element("span", "row-side place", word("position", { position: row.position }));
  return element("span", "row-side");
}

function line(row, open, choose) {
  const item = element("li");
  const button = element("button", "row");
  button.type = "button";
  button.dataset.handoff = row.id;
  button.setAttribute("aria-current", String(row.id === open));
  const about = element("span", "row-about");
  about.append(element("span", "chip", row.topic), element("span", "", row.city));
  about.append(row.taken_at ? clock("talked", row.taken_at) : clock("waited", row.requested_at));
  if (row.foreign) about.append(element("span", "", word("by", { agent: row.agent })));
  button.append(face(row.name), element("span", "row-name", row.name), side(row));
  button.append(element("span", "row-last", row.last_text || word("no_text")));
  const unread = row.state === "held" && !row.foreign && row.id !== open && row.last_id > (seen.get(row.id) ?? 0);
  button.append(element("span", unread ? "unread" : ""), about);
  button.addEventListener("click", () => choose(row.id));
  item.append(button);
  return item;
}

function fill(name, rows, open, choose) {
  const focused = document.activeElement?.closest?.(`#${name}`) ? document.activeElement.dataset.handoff : null;
  byId(name).replaceChildren(...rows.map((row) => line(row, open, choose)));
  if (focused) byId(name).querySelector(`[data-handoff="${CSS.escape(focused)}"]`)?.focus();
  byId(name + "-count").textContent = rows.length;
  byId(name + "-count").classList.toggle("some", rows.length > 0);
  const empty = byId(name + "-empty");
  if (empty) empty.hidden = rows.length > 0;
}

export function show(lists, open, choose) {
  for (const row of lists.others) row.foreign = true;
  fill("mine", lists.mine, open, choose);
  fill("queue", lists.queue, open, choose);
  fill("others", lists.others, open, choose);
  byId("others-part").hidden = lists.others.length === 0;
  document.title = (lists.queue.length ? `(${lists.queue.length}) ` : "") + word("title");
}
