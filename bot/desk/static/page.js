// What both pages need: words, calls to the API, and elements whose text is only ever text.

export const words = await (await fetch("/desk/api/words")).json();

export const byId = (id) => document.getElementById(id);

export function word(name, facts = {}) {
  return words[name].replace(/\{(\w+)\}/g, (_, key) => facts[key] ?? "");
}

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// Calls the API; whatever goes wrong becomes a sentence to show.
export async function call(path, { csrf = "", body = null } = {}) {
  const options = csrf
    ? { method: "POST", headers: { "X-CSRF-Token": csrf, "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) }
    : {};
  let response;
  try {
    response = await fetch("/desk/api/" + path, options);
  } catch {
    throw new Refused(0, "network", word("error_network"));
  }
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, data.error ?? "network", data.message ?? word("error_network"));
  return data;
}
