// Boxes on a canvas, and bars beside it.

import { percent } from "./ui.js";

// The colours of boxes in recorded videos; a track keeps its own.
const COLORS = ["#ffc850", "#3caaff", "#78e678", "#ff8cc8", "#5ae6e6", "#ff826e"];
const INK = "#141414";
const LEGIBLE = 13; // pixels of the screen

export const nameOf = (face, index) => face.track ?? index + 1;

const colorOf = (face, index) => COLORS[nameOf(face, index) % COLORS.length];

// Draws the faces of an answer over a canvas of any size; mirrored moves the boxes, never the words.
export function drawFaces(canvas, answer, mirrored = false) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / answer.width;
  const shrunk = canvas.width / (canvas.clientWidth || canvas.width); // a large image on a small screen
  const letter = Math.max(LEGIBLE * shrunk, Math.min(canvas.width, canvas.height) / 26, canvas.width / 40);
  context.font = `600 ${letter}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  answer.faces.forEach((face, index) => {
    const [width, height] = [face.width * scale, face.height * scale];
    const x = mirrored ? canvas.width - face.x * scale - width : face.x * scale;
    const y = face.y * scale;
    context.lineWidth = Math.max(2, letter / 6);
    context.strokeStyle = context.fillStyle = colorOf(face, index);
    context.strokeRect(x, y, width, height);
    const text = `${nameOf(face, index)}: ${face.label} ${percent(face.confidence)}`;
    const line = letter * 1.6;
    const wide = context.measureText(text).width + letter;
    const left = Math.max(0, Math.min(x, canvas.width - wide));
    const below = y + height + line <= canvas.height ? y + height : y; // of a face at the upper edge
    const top = y >= line ? y - line : below;
    context.fillRect(left, top, wide, line);
    context.fillStyle = INK;
    context.fillText(text, left + letter / 2, top + line / 2);
  });
}

// A list of bars for each face. Elements are kept from frame to frame, so that nothing flickers.
export function drawBars(container, faces) {
  const names = faces.map((face, index) => String(nameOf(face, index)));
  for (const child of [...container.children]) if (!names.includes(child.dataset.name)) child.remove();
  faces.forEach((face, index) => {
    const name = names[index];
    let section = [...container.children].find((child) => child.dataset.name === name);
    if (!section) section = container.appendChild(newFace(name, Object.keys(face.probabilities)));
    section.style.borderColor = colorOf(face, index);
    section.querySelector("h2").textContent = `Face ${name}: ${face.label} ${percent(face.confidence)}`;
    const [bars, shares] = [".bar > div", ".share"].map((kind) => section.querySelectorAll(kind));
    Object.entries(face.probabilities).forEach(([label, share], row) => {
      bars[row].style.width = `${100 * share}%`;
      bars[row].classList.toggle("top", label === face.label);
      shares[row].textContent = percent(share);
    });
  });
}

function newFace(name, labels) {
  const section = document.createElement("section");
  section.className = "face";
  section.dataset.name = name;
  section.append(document.createElement("h2"));
  const list = section.appendChild(document.createElement("dl"));
  for (const label of labels) {
    const term = list.appendChild(document.createElement("dt"));
    term.textContent = label;
    const bar = list.appendChild(document.createElement("dd"));
    bar.className = "bar";
    bar.append(document.createElement("div"));
    list.appendChild(document.createElement("dd")).className = "share";
  }
  return section;
}
