// One image: chosen, dropped or pasted; the original beside the labelled one.

import { drawBars, drawFaces, nameOf } from "./draw.js";
import { find, megabytes, offer, onFile, percent, problemOf, say, show } from "./ui.js";

const SMALLEST = 240; // pixels of a labelled copy's shorter side: words need room
const LARGEST = 4096; // and of its longer side: phones draw no larger canvas

export class ImageTab {
  constructor(panel, limits) {
    Object.assign(this, { panel, limits });
    find(panel, ".limit").textContent = `JPEG, PNG, WebP or BMP, up to ${megabytes(limits.image_bytes)}`;
    onFile(panel, (file) => this.label(file));
    document.addEventListener("paste", (event) => {
      const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
      if (file && !panel.hidden) this.label(file);
    });
  }

  async label(file) {
    const turn = (this.turn = {}); // a later image makes this one's result stale
    show(find(this.panel, ".result"), false);
    if (file.size > this.limits.image_bytes) {
      return say(this.panel, `The file has ${megabytes(file.size)}; the limit is ${megabytes(this.limits.image_bytes)}`, true);
    }
    say(this.panel, "Labelling");
    const form = new FormData();
    form.append("image", file);
    try {
      const response = await fetch("/predict", { method: "POST", body: form });
      if (!response.ok) throw new Error(await problemOf(response));
      const answer = await response.json();
      const image = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => {
        throw new Error("This browser cannot show the image");
      });
      if (image.width !== answer.width || image.height !== answer.height) {
        throw new Error("This browser does not turn the image upright; rotate it and save it again"); // WebP in Chromium
      }
      if (this.turn === turn) this.show(file, image, answer);
    } catch (error) {
      if (this.turn === turn) say(this.panel, error instanceof TypeError ? "The server cannot be reached" : error.message, true);
    }
  }

  show(file, image, answer) {
    const { panel } = this;
    const count = answer.faces.length;
    say(panel, count ? `${count} face${count > 1 ? "s" : ""} found` : "No face found");
    const original = find(panel, "img");
    if (original.src) URL.revokeObjectURL(original.src);
    original.src = URL.createObjectURL(file);
    const canvas = find(panel, "canvas");
    const { width, height } = image;
    const scale = Math.min(Math.max(1, SMALLEST / Math.min(width, height)), LARGEST / Math.max(width, height));
    [canvas.width, canvas.height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    image.close();
    show(find(panel, ".result"), true);
    drawFaces(canvas, answer); // now that it is known how large it stands on the screen
    const stem = file.name.replace(/\.[^.]*$/, "") || "image";
    offer(find(panel, ".json"), new Blob([JSON.stringify(answer, null, 1)], { type: "application/json" }), `${stem}.json`);
    canvas.toBlob((blob) => blob && offer(find(panel, ".annotated"), blob, `${stem}-labelled.png`));
    find(panel, "tbody").replaceChildren(...answer.faces.map(row));
    show(find(panel, ".scroll"), count > 0);
    drawBars(find(panel, ".faces"), answer.faces);
  }
}

function row(face, index) {
  const line = document.createElement("tr");
  const cells = [nameOf(face, index), face.label, percent(face.confidence), face.x, face.y, face.width, face.height];
  for (const cell of cells) line.insertCell().textContent = cell;
  return line;
}
