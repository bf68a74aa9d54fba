// The form of the settings. It sends only what the user changed.
//
// The attributes of a control carry the value in force, and its properties what the user
// made of it: another tab may change the first without harm to the second.
import { send } from "./actions.js";
import { refresh } from "./refresh.js";

const form = document.getElementById("settings");
const path = form.dataset.path;
const status = form.querySelector(".saved");
const saveButton = form.querySelector(".save .primary");
const discard = document.getElementById("discard");
const search = document.getElementById("find-setting");
const onlyChanged = document.getElementById("only-changed");

const controls = () => [...form.querySelectorAll("[data-kind]")];

function isEdited(control) {
  if (control.localName !== "select") return control.value !== control.defaultValue;
  const inForce = [...control.options].find((option) => option.defaultSelected) ?? control.options[0];
  return control.value !== inForce.value;
}

function valueOf(control) {
  switch (control.dataset.kind) {
    case "json":
      return JSON.parse(control.value);
    case "list":
      return control.value.split("\n").map((line) => line.trim()).filter(Boolean);
    case "account": {
      const chosen = controls().filter((other) => other.name === control.name && other.value);
      return Object.fromEntries(chosen.map((other) => [other.dataset.account, other.value]));
    }
    default:
      return control.value;
  }
}

function edits() {
  return Object.fromEntries(controls().filter(isEdited).map((control) => [control.name, control]));
}

function say(text, isWrong = false) {
  status.textContent = text;
  status.classList.toggle("wrong", isWrong);
}

function showEdits() {
  for (const control of controls()) {
    control.closest(".field").classList.toggle("edited", isEdited(control));
  }
  const names = Object.keys(edits());
  saveButton.disabled = names.length === 0;
  discard.hidden = names.length === 0;
  if (names.length) say(`Not saved: ${names.join(", ")}`);
  else if (status.textContent.startsWith("Not saved")) say("");
}

/** Make the values in force the defaults of the form, so that nothing counts as edited. */
function accept(names) {
  for (const control of controls().filter(({ name }) => names.includes(name))) {
    if (control.localName !== "select") control.defaultValue = control.value;
    else for (const option of control.options) option.defaultSelected = option.selected;
  }
}

async function put(values) {
  try {
    await send("PUT", path, values);
    accept(Object.keys(values));
    await refresh();
    showEdits();
    say(`Saved: ${Object.keys(values).join(", ")}`);
  } catch (error) {
    say(error.message, true);
    form.elements.namedItem(error.message.split(":")[0])?.focus?.();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const changed = Object.entries(edits()).map(([name, control]) => [name, valueOf(control)]);
  put(Object.fromEntries(changed));
});

form.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-reset]");
  if (!button) return;
  const field = button.closest(".field");
  // An edit of this setting is dropped: the user asked for the default.
  for (const control of field.querySelectorAll("[data-kind]")) restore(control);
  send("PUT", path, { [button.dataset.reset]: JSON.parse(button.dataset.default) })
    .then(refresh)
    .then(() => {
      for (const control of field.querySelectorAll("[data-kind]")) restore(control);
      showEdits();
      say(`Reset: ${button.dataset.reset}`);
    })
    .catch((error) => say(error.message, true));
});

function restore(control) {
  if (control.localName !== "select") control.value = control.defaultValue;
  else {
    const inForce = [...control.options].find((option) => option.defaultSelected);
    control.value = (inForce ?? control.options[0]).value;
  }
}

form.addEventListener("input", showEdits);
discard.addEventListener("click", () => {
  form.reset();
  showEdits();
});
document.addEventListener("refreshed", () => {
  showEdits();
  filter();
});

function filter() {
  const words = search.value.toLowerCase().split(/\s+/);
  let found = 0;
  for (const group of form.querySelectorAll("fieldset")) {
    let inGroup = 0;
    for (const field of group.querySelectorAll(".field")) {
      const text = `${group.firstElementChild.textContent} ${field.textContent}`.toLowerCase();
      const isChanged = field.classList.contains("changed") || field.classList.contains("edited");
      field.hidden = !words.every((word) => text.includes(word)) || (onlyChanged.checked && !isChanged);
      inGroup += !field.hidden;
    }
    group.hidden = inGroup === 0;
    found += inGroup;
  }
  document.getElementById("no-setting").hidden = found > 0;
}

search.addEventListener("input", filter);
onlyChanged.addEventListener("change", filter);
showEdits();
filter();
