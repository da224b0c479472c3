// Corrections: a person names the right label of a face, and agrees that the server keeps this face.

import { find, problemOf } from "./ui.js";

const WORDS = "This face is kept on the server, to train its model. The rest of the image is not. Nothing is kept unless you agree.";

// Adds a form to the section of each face; `file` is the image that was labelled.
export function offerCorrections(container, file, faces, labels) {
  [...container.children].forEach((section, index) => {
    find(section, "details")?.remove(); // sections are kept from one image to the next
    section.append(form(file, faces[index], labels));
  });
}

function form(file, face, labels) {
  const details = document.createElement("details");
  details.append(Object.assign(document.createElement("summary"), { textContent: "Wrong? Correct it" }));
  const form = details.appendChild(document.createElement("form"));
  form.className = "correction";
  const select = labelled(form, "Right label", document.createElement("select"));
  select.replaceChildren(...labels.map((label) => new Option(label, label, false, label === face.label)));
  const consent = labelled(form, "I agree that this face is kept", Object.assign(document.createElement("input"), { type: "checkbox", required: true }));
  form.append(Object.assign(document.createElement("p"), { className: "quiet", textContent: WORDS }));
  const button = form.appendChild(Object.assign(document.createElement("button"), { textContent: "Send the correction" }));
  const status = form.appendChild(document.createElement("p"));
  status.setAttribute("role", "status");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!consent.checked) return;
    button.disabled = true;
    const problem = await send(file, face, select.value);
    status.textContent = problem ?? `Kept as ${select.value}. Thank you.`;
    status.className = problem ? "problem" : "";
    button.disabled = !problem;
  });
  return details;
}

function labelled(form, text, control) {
  const label = form.appendChild(document.createElement("label"));
  if (control.type === "checkbox") label.append(control, ` ${text}`);
  else label.append(`${text} `, control);
  return control;
}

// Null, or one line that says what is wrong.
async function send(file, face, label) {
  const data = new FormData();
  data.append("image", file);
  for (const side of ["x", "y", "width", "height"]) data.append(side, face[side]);
  data.append("label", label);
  data.append("consent", "yes");
  try {
    const response = await fetch("/corrections", { method: "POST", body: data });
    return response.ok ? null : await problemOf(response);
  } catch {
    return "The server cannot be reached";
  }
}
