// The log: bubbles, times, receipts, pictures and the replies on offer.

import { find, make, when, words } from "./page.js";

const GAP = 5 * 60 * 1000; // milliseconds of silence after which a time is shown
const FACES = { bot: "/assets/coin.svg", agent: "/assets/agent.svg", user: "/assets/user.svg" };
const NAMES = { bot: words.bot, agent: words.agent, user: words.you };
const FACT = /^(\p{Script=Han}[\p{Script=Han}A-Za-z]{0,7})(?:[:\uff1a]\s*| )(\S.{0,60})$/u;
const ENTRY = /^(.{0,20}\d:\d\d .{1,40}) ([+\u2212-]?\u00a5-?[\d,]+\.\d\d)$/u;

// A link to a page of this server, in a window of its own: the talk goes on here.
function leading(title, url) {
  const link = make("a", "", title);
  const address = new URL(url, location.href);
  if (address.origin === location.origin) link.href = address.href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

export class View {
  constructor({ onPress, onRetry }) {
    this.onPress = onPress;
    this.onRetry = onRetry;
    this.log = find("log");
    this.scroller = find("scroll");
    this.mine = new Map(); // message id → the row of the person's own bubble
    this.last = { author: "", at: 0 };
    this.options = null;
    this.unread = 0;
    this.scroller.addEventListener("scroll", () => this.near() && this.seen(), { passive: true });
    find("newer").addEventListener("click", () => this.toEnd());
    document.addEventListener("visibilitychange", () => document.hidden || this.seen());
    find("viewer-close").addEventListener("click", () => find("viewer").close());
    find("viewer").addEventListener("click", () => find("viewer").close());
  }

  clear() {
    this.log.replaceChildren();
    this.mine.clear();
    this.last = { author: "", at: 0 };
    this.options = null;
  }

  get empty() {
    return !this.log.childElementCount;
  }

  // Adds one message; `at` is in UTC milliseconds.
  add({ author, text, at, id = null, image = null, picture = false, local = null }, { quiet = false } = {}) {
    const stay = this.near();
    this.separate(at);
    const row = make("article", `row ${author === "user" ? "mine" : author === "agent" ? "theirs agents" : "theirs"}`);
    if (author === this.last.author) row.classList.add("same");
    const face = make("img", "face");
    face.src = FACES[author];
    face.alt = "";
    const said = make("div", "said");
    if (author === "agent" && this.last.author !== "agent") {
      const name = make("p", "name", NAMES.agent);
      name.setAttribute("aria-hidden", "true");
      said.append(name);
    }
    said.append(make("span", "unseen", NAMES[author]));
    if (local) said.append(this.shot(local));
    else if (picture) said.append(this.bubble(words.picture_sent, "user"));
    if (text) said.append(this.bubble(text, author));
    if (image) said.append(this.shot(image));
    row.append(face, said);
    this.log.append(row);
    if (this.options && author !== "user") this.log.append(this.options);
    if (id) this.mine.set(id, row);
    this.last = { author, at };
    if (author === "user" || stay) this.toEnd();
    else if (!quiet) this.miss();
    if (!quiet && author !== "user" && document.hidden) document.title = `(${(this.unread += 1)}) ${words.title}`;
    return row;
  }

  separate(at) {
    if (at - this.last.at < GAP) return;
    this.log.append(make("p", "time", when(at)));
    this.last.author = "";
  }

  bubble(text, author) {
    const bubble = make("div", "bubble");
    if (/^[•*]{4,}$/.test(text)) bubble.classList.add("masked");
    const parts = author === "bot" ? paragraphs(text) : [text];
    if (parts.some((part) => typeof part !== "string")) bubble.classList.add("with-receipt");
    for (const part of parts) bubble.append(typeof part === "string" ? make("div", "", part) : receipt(part));
    return bubble;
  }

  // Pictures come from this server only, or from the person's own file.
  shot(source) {
    const address = new URL(source, location.href);
    if (address.origin !== location.origin && address.protocol !== "data:") return make("span");
    const button = make("button", "shot");
    const image = make("img");
    button.type = "button";
    image.alt = words.picture_from_us;
    image.src = source;
    image.addEventListener("load", () => this.near(400) && this.toEnd());
    button.append(image);
    button.addEventListener("click", () => {
      find("viewer-picture").src = source;
      find("viewer").showModal();
    });
    return button;
  }

  offer(buttons) {
    this.withdraw();
    if (!buttons.length) return;
    this.options = make("div", "options");
    this.options.setAttribute("role", "group");
    this.options.setAttribute("aria-label", words.options);
    for (const { title, payload, url } of buttons) this.options.append(url ? leading(title, url) : this.option(title, payload));
    const stay = this.near();
    this.log.append(this.options);
    if (stay) this.toEnd();
  }

  option(title, payload) {
    const button = make("button", "", title);
    button.type = "button";
    button.addEventListener("click", () => this.onPress(title, payload));
    return button;
  }

  withdraw() {
    this.options?.remove();
    this.options = null;
  }

  // What became of a message: "waiting", "sent", "failed" (offers to send it again).
  fate(id, state, why = "") {
    const row = this.mine.get(id);
    if (!row) return;
    row.querySelector(".fate")?.remove();
    for (const bubble of row.querySelectorAll(".bubble, .shot")) bubble.classList.toggle("waiting", state === "waiting");
    if (state !== "failed") return;
    const fate = make("div", "fate", why || words.not_sent);
    const again = make("button", "", words.retry);
    again.type = "button";
    again.addEventListener("click", () => this.onRetry(id));
    fate.append(again);
    row.querySelector(".said").append(fate);
    this.toEnd();
  }

  mask(id) {
    const bubble = this.mine.get(id)?.querySelector(".bubble");
    if (!bubble) return;
    bubble.textContent = words.hidden;
    bubble.classList.add("masked");
  }

  typing(on) {
    const stay = this.near();
    find("typing").hidden = !on;
    if (on && stay) this.toEnd();
  }

  near(distance = 140) {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < distance;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.seen();
  }

  miss() {
    find("newer").hidden = false;
  }

  seen() {
    find("newer").hidden = true;
    if (document.hidden) return;
    this.unread = 0;
    document.title = words.title;
  }
}

// The rows that a line of a receipt says: "payee X", "amount X\uff0cfee Y", or "day who amount"; none for other lines.
function rows(line) {
  const entry = ENTRY.exec(line);
  if (entry) return [{ name: entry[1], value: entry[2], long: true }];
  const facts = line.split("\uff0c").map((part) => FACT.exec(part));
  return facts.every(Boolean) ? facts.map(([, name, value]) => ({ name, value })) : [];
}

// Splits a text into its words and its receipts: two or more rows from lines that follow each other.
function paragraphs(text) {
  const parts = [];
  let lines = [];
  let said = [];
  let receipt = [];
  const flush = () => {
    if (receipt.length > 1) {
      parts.push(lines.join("\n").trim(), receipt);
      lines = [];
    } else lines.push(...said);
    said = [];
    receipt = [];
  };
  for (const line of text.split("\n")) {
    const found = rows(line);
    if (found.length) {
      said.push(line);
      receipt.push(...found);
    } else {
      flush();
      lines.push(line);
    }
  }
  flush();
  if (!parts.length) return [text];
  return [...parts, lines.join("\n").trim()].filter((part) => part.length);
}

function receipt(facts) {
  const list = make("dl", "receipt");
  for (const { name, value, long } of facts) {
    const line = make("div", long ? "receipt-row entry" : "receipt-row");
    line.append(make("dt", "", name), make("dd", "", value));
    list.append(line);
  }
  return list;
}
