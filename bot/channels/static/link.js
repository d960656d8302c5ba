// The connection: keeps every message until the server has answered it, comes back by itself, doubles nothing.

import { random } from "./page.js";

const VISITOR = "zhanggui-visitor";
const OUTBOX = "zhanggui-outbox";
const DELAYS = [400, 1000, 2000, 4000, 8000, 15000]; // milliseconds between tries
const REPEATS = 5; // reconnections over which one message is sent again by itself
const PING = 25000;
const PATIENCE = 10000;

function remembered(storage, key) {
  try {
    return storage.getItem(key);
  } catch {
    return null; // storage is switched off: the conversation lasts as long as the page
  }
}

function remember(storage, key, value) {
  try {
    storage.setItem(key, value);
  } catch {
    // as above, or full
  }
}

function visitor() {
  const id = remembered(localStorage, VISITOR) || random();
  remember(localStorage, VISITOR, id);
  return id;
}

export class Link {
  constructor({ city, onFrame, onState }) {
    this.visitor = visitor();
    this.city = city;
    this.onFrame = onFrame;
    this.onState = onState;
    this.tries = 0;
    this.since = null; // the time of the newest frame, UTC milliseconds: what came later is asked for
    this.ready = false;
    this.repeated = new Map(); // message id → how often it was sent again
    this.outbox = new Map(JSON.parse(remembered(sessionStorage, OUTBOX) || "[]"));
    addEventListener("online", () => this.hurry());
    addEventListener("offline", () => this.onState("offline"));
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    setInterval(() => this.check(), PING);
    this.connect();
  }

  post(frame) {
    this.outbox.set(frame.id, frame);
    this.save();
    if (this.ready) this.write(frame);
  }

  connect() {
    clearTimeout(this.timer);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.socket = socket;
    socket.onopen = () => this.write({ type: "hello", visitor: this.visitor, city: this.city, since: this.since });
    socket.onmessage = (event) => socket === this.socket && this.read(JSON.parse(event.data));
    socket.onclose = () => socket === this.socket && this.lost();
  }

  read(frame) {
    clearTimeout(this.doubt);
    if (frame.at) this.since = Math.max(this.since || 0, frame.at);
    if (frame.type === "history") this.resume(frame);
    if (frame.id && (frame.type === "turn" || frame.type === "error")) this.settle(frame.id);
    if (frame.type !== "pong") this.onFrame(frame);
    if (frame.type === "history") for (const waiting of [...this.outbox.values()]) this.again(waiting);
  }

  resume(frame) {
    this.ready = true;
    this.tries = 0;
    for (const item of frame.items) if (item.id) this.settle(item.id);
    this.onState("online");
  }

  // A frame that the connection never survives (too large for something in between) is given up at last.
  again(frame) {
    const tries = (this.repeated.get(frame.id) || 0) + 1;
    this.repeated.set(frame.id, tries);
    if (tries <= REPEATS) {
      this.write(frame);
      return;
    }
    this.settle(frame.id);
    this.onFrame({ type: "error", id: frame.id });
  }

  settle(id) {
    this.repeated.delete(id);
    if (this.outbox.delete(id)) this.save();
  }

  lost() {
    this.ready = false;
    this.onState(navigator.onLine ? "reconnecting" : "offline");
    const delay = DELAYS[Math.min(this.tries, DELAYS.length - 1)];
    this.tries += 1;
    this.timer = setTimeout(() => this.connect(), delay * (0.7 + 0.6 * Math.random()));
  }

  hurry() {
    if (this.socket.readyState === WebSocket.OPEN) this.check();
    else if (this.socket.readyState === WebSocket.CLOSED) this.connect();
  }

  check() {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.write({ type: "ping" });
    clearTimeout(this.doubt);
    this.doubt = setTimeout(() => this.abandon(), PATIENCE);
  }

  // A dead connection may take minutes to close, so it is given up at once.
  abandon() {
    const socket = this.socket;
    socket.onclose = null;
    socket.close();
    this.lost();
  }

  write(frame) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  save() {
    const light = [...this.outbox].filter(([, frame]) => !frame.image);
    remember(sessionStorage, OUTBOX, JSON.stringify(light));
  }
}
