// Tabs, and what each of them needs to know of the server.

import { Camera } from "./camera.js";
import { Picture } from "./picture.js";
import { find, say, show } from "./ui.js";
import { Video } from "./video.js";
import { Webcam } from "./webcam.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
const panels = Object.fromEntries(tabs.map((tab) => [tab.getAttribute("aria-controls"), document.getElementById(tab.getAttribute("aria-controls"))]));
const live = []; // what stops when it is out of sight

function choose(name, { focus = false } = {}) {
  for (const tab of tabs) {
    const chosen = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
    show(panels[tab.getAttribute("aria-controls")], chosen);
  }
  for (const part of live) if (part.panel.hidden) part.stop();
  history.replaceState(null, "", `#/${name}`); // no element has this id: the browser neither scrolls nor moves the focus
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => choose(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", ({ key }) => {
    const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: -1 }[key];
    if (to !== undefined) choose(tabs.at(to % tabs.length).getAttribute("aria-controls"), { focus: true });
  });
});
const asked = location.hash.replace(/^#\/?/, "");
choose(asked in panels ? asked : "webcam");

// A file that is dropped beside its field must not replace the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
document.addEventListener("visibilitychange", () => document.hidden && live.forEach((part) => part.leave()));

const asking = Promise.all(["/health", "/cameras"].map(async (path) => (await fetch(path)).json()));
const answers = await asking.catch(() => null);
if (answers) {
  const [about, { cameras }] = answers;
  find(document, "#model").textContent = `${about.model}: ${about.labels.join(", ")}`;
  find(document, "#keep").textContent = Math.round(about.limits.keep / 60);
  live.push(new Webcam(panels.webcam), new Camera(panels.camera, cameras));
  new Picture(panels.picture, about.limits);
  new Video(panels.video, about.limits);
} else {
  for (const panel of Object.values(panels)) say(panel, "The server cannot be reached; load this page again", true);
}
