// Corrections: a person names the right label of a face, and agrees that the server keeps this face.

import { text } from "./strings.js";
import { find, problemOf } from "./ui.js";

// Adds a form to the section of each face; `file` is the image that was labelled.
export function offerCorrections(container, file, faces, labels) {
  [...container.children].forEach((section, index) => {
    find(section, "details")?.remove(); // sections are kept from one image to the next
    section.append(form(file, faces[index], labels));
  });
}

function form(file, face, labels) {
  const details = document.createElement("details");
  details.append(Object.assign(document.createElement("summary"), { textContent: text("correct") }));
  const form = details.appendChild(document.createElement("form"));
  form.className = "correction";
  const select = labelled(form, text("right_label"), document.createElement("select"));
  select.replaceChildren(...labels.map((label) => new Option(label, label, false, label === face.label)));
  const consent = labelled(form, text("consent"), Object.assign(document.createElement("input"), { type: "checkbox", required: true }));
  form.append(Object.assign(document.createElement("p"), { className: "quiet", textContent: text("correct_words") }));
  const button = form.appendChild(Object.assign(document.createElement("button"), { textContent: text("send_correction") }));
  const status = form.appendChild(document.createElement("p"));
  status.setAttribute("role", "status");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!consent.checked) return;
    button.disabled = true;
    const problem = await send(file, face, select.value);
    status.textContent = problem ?? text("kept_as", { label: select.value });
    status.className = problem ? "problem" : "";
    button.disabled = !problem;
  });
  return details;
}

function labelled(form, words, control) {
  const label = form.appendChild(document.createElement("label"));
  if (control.type === "checkbox") label.append(control, ` ${words}`);
  else label.append(`${words} `, control);
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
    return text("unreachable");
  }
}
