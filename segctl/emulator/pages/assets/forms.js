// The forms of settings and faults, which send JSON.
import { send } from "./actions.js";

for (const button of document.querySelectorAll("[data-preset]")) {
  button.addEventListener("click", () => {
    document.getElementById("plan").value = button.dataset.preset;
  });
}

for (const form of document.querySelectorAll("[data-put]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const status = form.querySelector(".saved");
    const plan = form.querySelector("textarea");
    try {
      let body = plan?.value;
      if (!plan) {
        body = {};
        for (const [name, value] of new FormData(form)) body[name] = JSON.parse(value);
      }
      await send("PUT", form.dataset.put, body);
      status.textContent = "Saved";
      status.classList.remove("wrong");
    } catch (error) {
      status.textContent = error.message;
      status.classList.add("wrong");
    }
  });
}
