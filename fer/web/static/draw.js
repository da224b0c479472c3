// Boxes and labels on a canvas, and bars beside it.

import { text } from "./strings.js";
import { percent } from "./ui.js";

// The colours of boxes in recorded videos; a track keeps its own.
const COLORS = ["#ffc850", "#3caaff", "#78e678", "#ff8cc8", "#5ae6e6", "#ff826e"];
const INK = "#141414";
const LEGIBLE = 13; // pixels of the screen
const MOST_COVERED = 0.3; // of a label may lie over another face; else only the number is shown
const PALE = 0.55; // opacity where the model is uncertain

export const nameOf = (face, index) => face.track ?? index + 1;

const colorOf = (face, index) => COLORS[nameOf(face, index) % COLORS.length];

const sure = (face) => `${face.label} ${percent(face.confidence)}`;

export const titleOf = (face) =>
  face.uncertain ? text("uncertain_title", { title: sure(face) }) : sure(face);

// Draws the faces of a result over a canvas of any size; mirrored moves the boxes, never the words.
export function drawFaces(canvas, answer, mirrored = false) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / answer.width;
  const shrunk = canvas.width / (canvas.clientWidth || canvas.width); // a large image on a small screen
  const letter = Math.max(LEGIBLE * shrunk, Math.min(canvas.width, canvas.height) / 26, canvas.width / 40);
  context.font = `600 ${letter}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const boxes = answer.faces.map((face) => {
    const [width, height] = [face.width * scale, face.height * scale];
    return { x: mirrored ? canvas.width - face.x * scale - width : face.x * scale, y: face.y * scale, width, height };
  });
  answer.faces.forEach((face, index) => {
    const box = boxes[index];
    context.globalAlpha = face.uncertain ? PALE : 1;
    context.lineWidth = Math.max(2, letter / 6);
    context.strokeStyle = context.fillStyle = colorOf(face, index);
    context.strokeRect(box.x, box.y, box.width, box.height);
  });
  const size = (words) => ({ text: words, width: context.measureText(words).width + letter, height: 1.6 * letter });
  const texts = answer.faces.map((face, index) => {
    const number = String(nameOf(face, index));
    return [size(`${number}: ${face.uncertain ? text("uncertain") : titleOf(face)}`), size(number)];
  });
  context.globalAlpha = 1;
  placeAll(texts, boxes, canvas).forEach((label, index) => {
    context.fillStyle = colorOf(answer.faces[index], index);
    context.fillRect(label.x, label.y, label.width, label.height);
    context.fillStyle = INK;
    context.fillText(label.text, label.x + letter / 2, label.y + label.height / 2);
  });
}

// A label for each face: its words, or its number alone where they have no room. Where a number has none either, all get
// numbers, the last ones at the corners of their boxes.
function placeAll(texts, boxes, canvas) {
  const labels = [];
  for (const [index, choices] of texts.entries()) {
    const label = place(choices, boxes, index, labels, canvas);
    if (label) labels.push(label);
    else if (choices.length > 1) return placeAll(texts.map((choices) => choices.slice(-1)), boxes, canvas);
    else labels.push({ ...choices[0], x: boxes[index].x, y: boxes[index].y });
  }
  return labels;
}

// The first of the texts that finds a place beside its box, over no other label and hardly any other face; null for none.
function place(texts, boxes, index, labels, canvas) {
  const box = boxes[index];
  const others = boxes.filter((_, other) => other !== index);
  for (const text of texts) {
    let best = null;
    for (const spot of spots(box, text, canvas)) {
      if (labels.some((label) => common(label, spot) > 0)) continue;
      const covered = others.reduce((sum, other) => sum + common(other, spot), 0) / (text.width * text.height);
      if (covered <= MOST_COVERED && (!best || covered < best.covered)) best = { ...spot, text: text.text, covered };
    }
    if (best) return best;
  }
  return null;
}

// Places for a label, the best first: above the box, below it, or inside at its lower edge, where it hides little.
function* spots(box, { width, height }, canvas) {
  const inside = width * height < box.width * box.height * MOST_COVERED ? [box.y + box.height - height] : [];
  for (const y of [box.y - height, box.y + box.height, ...inside]) {
    if (y < 0 || y + height > canvas.height) continue;
    for (const x of [box.x, box.x + box.width - width]) {
      yield { x: Math.max(0, Math.min(x, canvas.width - width)), y, width, height };
    }
  }
}

function common(a, b) {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return Math.max(0, width) * Math.max(0, height);
}

// A list of bars for each face, and below it those of a second model. Elements are kept from frame to frame, so that
// nothing flickers. `second` is the name of that model.
export function drawBars(container, faces, second = "") {
  const names = faces.map((face, index) => String(nameOf(face, index)));
  for (const child of [...container.children]) if (!names.includes(child.dataset.name)) child.remove();
  faces.forEach((face, index) => {
    const name = names[index];
    let section = [...container.children].find((child) => child.dataset.name === name);
    if (!section) section = container.appendChild(newFace(name, face));
    section.style.setProperty("--face", colorOf(face, index));
    section.classList.toggle("uncertain", Boolean(face.uncertain));
    section.querySelector("h2").textContent = text("face_title", { name, title: titleOf(face) });
    const [list, other] = section.querySelectorAll("dl");
    fillBars(list, face);
    if (!face.compared) return;
    section.querySelector("h3").textContent = `${second}: ${titleOf(face.compared)}`;
    fillBars(other, inOrderOf(face));
  });
}

// What the second model says, with the labels that both know in the order of the first.
function inOrderOf({ probabilities, compared }) {
  const shared = Object.keys(probabilities).filter((label) => label in compared.probabilities);
  const first = Object.fromEntries(shared.map((label) => [label, compared.probabilities[label]]));
  return { ...compared, probabilities: { ...first, ...compared.probabilities } };
}

function fillBars(list, { label: winner, probabilities }) {
  const [bars, shares] = [".bar > div", ".share"].map((kind) => list.querySelectorAll(kind));
  Object.entries(probabilities).forEach(([label, share], row) => {
    bars[row].style.width = `${share < 0.005 ? 0 : 100 * share}%`; // nothing where the figure says 0 %
    bars[row].classList.toggle("top", label === winner);
    shares[row].textContent = percent(share);
  });
}

function newFace(name, face) {
  const section = document.createElement("section");
  section.className = "face";
  section.dataset.name = name;
  section.append(document.createElement("h2"), newBars(face));
  if (face.compared) section.append(document.createElement("h3"), newBars(inOrderOf(face)));
  return section;
}

function newBars({ probabilities }) {
  const list = document.createElement("dl");
  for (const label of Object.keys(probabilities)) {
    const term = list.appendChild(document.createElement("dt"));
    term.textContent = label;
    const bar = list.appendChild(document.createElement("dd"));
    bar.className = "bar";
    bar.append(document.createElement("div"));
    list.appendChild(document.createElement("dd")).className = "share";
  }
  return list;
}
