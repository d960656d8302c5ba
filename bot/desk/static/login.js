// The log-in page.
import { byId, call, word } from "./page.js";

const submit = byId("submit");

function complain(message) {
  byId("fault").textContent = message;
  byId("fault").hidden = !message;
}

byId("peek").addEventListener("click", () => {
  const shown = byId("password").type === "text";
  byId("password").type = shown ? "password" : "text";
  byId("peek").setAttribute("aria-pressed", String(!shown));
  byId("peek").title = word(shown ? "show_password" : "hide_password");
  byId("peek").setAttribute("aria-label", byId("peek").title);
});

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  submit.disabled = true;
  submit.textContent = word("login_busy");
  try {
    const { csrf } = await call("login");
    await call("login", { csrf, body: { name: byId("name").value, password: byId("password").value } });
    location.assign("/desk");
  } catch (fault) {
    complain(fault.message);
    submit.disabled = false;
    submit.textContent = word("login_submit");
    byId("password").select();
  }
});
