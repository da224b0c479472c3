// What the four tabs share: finding elements, telling a person in one line, files chosen or dropped.

import { dropped } from "./files.js";
import { text } from "./strings.js";

export const find = (root, selector) => root.querySelector(selector);

export function show(element, visible) {
  element.hidden = !visible;
}

// `quietly` is for figures that change several times a second, which nobody wants to have read out.
export function say(panel, words, problem = false, quietly = false) {
  const status = find(panel, ".status");
  status.ariaLive = quietly ? "off" : "polite";
  if (status.textContent !== words) status.textContent = words; // the same words again would be read out again
  status.classList.toggle("problem", problem);
}

// The server's own line, or words for an answer that has none.
export async function problemOf(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return text("answered", { status: response.status });
  }
}

const TRIES = 8;

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// The same request may succeed a little later.
export const isBusy = ({ status }) => [429, 502, 503, 504].includes(status);

// The answer to a request, sent again while the server is busy: it says for how many seconds.
export async function patiently(send, stopped) {
  for (let tries = 1; ; tries++) {
    const response = await send();
    if (!isBusy(response) || tries === TRIES) return response;
    for (let left = Number(response.headers.get("Retry-After")) || 1; left > 0; left--) {
      if (stopped()) return response;
      await pause(1000);
    }
  }
}

export const percent = (share) => `${Math.round(100 * share)} %`;

export const megabytes = (count) => `${(count / 2 ** 20).toFixed(count < 2 ** 20 ? 1 : 0)} MB`;

// Calls `take` with the files that were chosen, or dropped anywhere on the page while this tab is the one in sight.
export function onFiles(panel, take) {
  const drop = find(panel, ".drop");
  const input = find(drop, "input");
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = ""; // the same file can be chosen again
  });
  addEventListener("dragover", ({ dataTransfer }) => drop.classList.toggle("over", dataTransfer.types.includes("Files")));
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || drop.classList.remove("over"));
  addEventListener("drop", async ({ dataTransfer }) => {
    drop.classList.remove("over");
    if (!dataTransfer.files.length || panel.hidden) return;
    take(await dropped(dataTransfer)); // perhaps none: of a folder only images are taken
  });
}

// A link's target out of memory; the one before is let go.
export function offer(link, blob, name) {
  if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(blob);
  link.download = name;
}
