// What the four tabs share: finding elements, telling a person in one line, files chosen or dropped.

export const find = (root, selector) => root.querySelector(selector);

export function show(element, visible) {
  element.hidden = !visible;
}

export function say(panel, text, problem = false) {
  const status = find(panel, ".status");
  status.textContent = text;
  status.classList.toggle("problem", problem);
}

// The server's own line, or words for an answer that has none.
export async function problemOf(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `the server answered ${response.status}`;
  }
}

export const percent = (share) => `${Math.round(100 * share)} %`;

export const megabytes = (count) => `${(count / 2 ** 20).toFixed(count < 2 ** 20 ? 1 : 0)} MB`;

// Calls `take` with a file that was chosen, or dropped on the label around the input.
export function onFile(panel, take) {
  const drop = find(panel, ".drop");
  const input = find(drop, "input");
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // the same file can be chosen again
  });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}

// A link's target out of memory; the one before is let go.
export function offer(link, blob, name) {
  if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(blob);
  link.download = name;
}
