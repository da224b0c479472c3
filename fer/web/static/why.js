// "Why?": a heat map over a face shows which parts of it speak for its label.

import { text } from "./strings.js";
import { find } from "./ui.js";

const OPACITY = 0.6; // where the evidence is strongest
// The colour map viridis in nine steps, from the weakest evidence to the strongest.
const COLORS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];

// Adds a button to the section of each face. `explain` gives the server's faces with their heat maps; `changed` is
// called with those that are shown, [{face, map}], and with one line about the last one.
export function offerReasons(container, faces, most, explain, changed) {
  const shown = new Map(); // index -> canvas
  let explained = null; // asked for once, for all faces
  for (const old of container.querySelectorAll(".why")) old.remove(); // sections are kept from one image to the next
  [...container.children].slice(0, most).forEach((section, index) => {
    const button = document.createElement("button");
    button.className = "why";
    button.textContent = text("why", { label: faces[index].label });
    button.ariaPressed = "false";
    find(section, "dl").after(button); // the first model's
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        if (!shown.delete(index)) {
          explained ??= explain();
          shown.set(index, await colored((await explained)[index].heat_map));
        }
        const on = shown.has(index);
        button.ariaPressed = String(on);
        const words = text("why_words", { face: index + 1, label: faces[index].label });
        changed([...shown].map(([at, map]) => ({ face: faces[at], map })), on ? words : "");
      } catch (error) {
        explained = null; // asked again at the next click
        changed(null, error.message);
      } finally {
        button.disabled = false;
      }
    });
  });
}

// A canvas with the colours of a heat map, which is a grey PNG in base64; transparent where nothing speaks for the label.
async function colored(base64) {
  const image = new Image();
  image.src = `data:image/png;base64,${base64}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const heat = pixels.data[at] / 255;
    const place = heat * (COLORS.length - 1);
    const [low, high] = [COLORS[Math.floor(place)], COLORS[Math.ceil(place)]];
    for (let i = 0; i < 3; i++) pixels.data[at + i] = low[i] + (high[i] - low[i]) * (place % 1);
    pixels.data[at + 3] = 255 * OPACITY * heat;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
