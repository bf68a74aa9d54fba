// Buttons and forms that send a request, and questions before it.

/** Send a request with a JSON body; throws an Error with the service's reason. */
export async function send(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = typeof body === "string" ? body : JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error((answer.problems || [answer.error]).join("; "));
  return answer;
}

/** Ask a question in a dialog; returns whether the answer is yes. */
export function ask(text) {
  const dialog = document.getElementById("question").content.cloneNode(true).firstElementChild;
  dialog.querySelector("p").textContent = text;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

// <button data-call="DELETE /path" data-ask="Really?" data-then="/page that comes next">
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-call]");
  if (!button || (button.dataset.ask && !(await ask(button.dataset.ask)))) return;
  try {
    await send(...button.dataset.call.split(" "));
    if (button.dataset.then) location.assign(button.dataset.then);
    else location.reload();
  } catch (error) {
    button.setCustomValidity(error.message);
    button.reportValidity();
    button.setCustomValidity("");
  }
});

// <form data-submit="change">: a choice is sent as soon as it is made.
document.addEventListener("change", (event) => {
  event.target.closest?.("form[data-submit=change]")?.requestSubmit();
});
