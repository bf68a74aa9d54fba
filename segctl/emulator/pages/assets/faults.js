// The form of the fault plan: rules are added, removed and edited, and saved together.
import { send } from "./actions.js";

const form = document.getElementById("faults");
const rules = document.getElementById("rules");
const plan = document.getElementById("plan");
const status = form.querySelector(".saved");
const injected = document.getElementById("injected");
const inForce = injected.dataset.plan;
let isEdited = false;

function say(text, isWrong = false) {
  status.textContent = text;
  status.classList.toggle("wrong", isWrong);
}

function fieldsOf(rule) {
  return rule.querySelector("[name=fault]").selectedOptions[0].dataset.fields.split(" ");
}

/** A number is CleverTap's id; a customer's id that is a number is in quotes. */
function segmentOf(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "number" || typeof value === "string" ? value : text;
  } catch {
    return text || null;
  }
}

function valueOf(control) {
  if (control.name === "segment") return segmentOf(control.value);
  if (control.name === "share") return Number((control.valueAsNumber / 100).toPrecision(12));
  if (control.name === "committed") return control.value === "true";
  if (control.name === "status") return Number(control.value);
  if ("json" in control.dataset) return JSON.parse(control.value);
  if (control.type === "number") return control.value === "" ? null : control.valueAsNumber;
  return control.value;
}

/** Return the plan that the form shows. */
function shownPlan() {
  const found = [...rules.children].map((rule) => {
    const controls = ["fault", ...fieldsOf(rule)].map((name) => rule.querySelector(`[name=${name}]`));
    return Object.fromEntries(controls.map((control) => [control.name, valueOf(control)]));
  });
  return { seed: form.elements.namedItem("seed").valueAsNumber, rules: found };
}

function showRules() {
  for (const rule of rules.children) {
    const fields = fieldsOf(rule);
    rule.querySelector(".effect").textContent = rule.querySelector("[name=fault]").selectedOptions[0].dataset.effect;
    for (const label of rule.querySelectorAll("[data-field]")) {
      label.hidden = !fields.includes(label.dataset.field);
      // A field that does not belong to the fault is neither checked nor sent.
      label.querySelector("input, select").disabled = label.hidden;
    }
  }
  document.getElementById("no-rules").hidden = rules.children.length > 0;
}

function edited() {
  isEdited = true;
  showRules();
  say("Not saved");
  showPlan();
}

function showPlan() {
  if (form.checkValidity()) plan.value = JSON.stringify(shownPlan(), null, 2);
}

async function save(body) {
  try {
    await send("PUT", form.dataset.path, body);
    isEdited = false;
    location.reload();
  } catch (error) {
    say(error.message, true);
  }
}

for (const button of document.querySelectorAll("[data-preset]")) {
  button.addEventListener("click", () => {
    rules.replaceChildren(document.getElementById(button.dataset.preset).content.cloneNode(true));
    edited();
  });
}

document.getElementById("add-rule").addEventListener("click", () => {
  rules.append(document.getElementById("rule").content.cloneNode(true));
  edited();
  rules.lastElementChild.querySelector("select").focus();
});

rules.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-remove]");
  if (!button) return;
  button.closest(".rule").remove();
  edited();
  document.getElementById("add-rule").focus();
});

rules.addEventListener("change", ({ target }) => {
  // Without a word from the user, a server error makes no change; the other faults do.
  const committed = target.name === "fault" && target.closest(".rule").querySelector("[name=committed]");
  if (committed) committed.value = String(target.value !== "server_error");
});

form.addEventListener("input", edited);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  save(shownPlan());
});
document.getElementById("end-faults").addEventListener("click", () => save({}));
document.getElementById("plan-form").addEventListener("submit", (event) => {
  event.preventDefault();
  save(plan.value);
});

document.addEventListener("refreshed", () => {
  if (injected.dataset.plan === inForce) return;
  if (isEdited) say("Another tab or a client has changed the plan. Saving replaces it.", true);
  else location.reload();
});

showRules();
