// Tabs, and what each of them needs from the server.

import { Camera } from "./camera.js";
import { ImageTab } from "./image.js";
import { text } from "./strings.js";
import { find, problemOf, say, show } from "./ui.js";
import { Video } from "./video.js";
import { Webcam } from "./webcam.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
const nameOf = (tab) => tab.getAttribute("aria-controls");
const panels = Object.fromEntries(tabs.map((tab) => [nameOf(tab), document.getElementById(nameOf(tab))]));
const live = []; // what stops when it is out of sight

function choose(name, { focus = false } = {}) {
  for (const tab of tabs) {
    const chosen = nameOf(tab) === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
    show(panels[nameOf(tab)], chosen);
  }
  for (const part of live) if (part.panel.hidden) part.leave();
  history.replaceState(null, "", `#/${name}`); // no element has this id: the browser neither scrolls nor moves the focus
}

for (const tab of tabs) {
  tab.addEventListener("click", () => choose(nameOf(tab)));
  tab.addEventListener("keydown", ({ key }) => {
    const shown = tabs.filter((one) => !one.hidden);
    const at = shown.indexOf(tab);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[key];
    if (to !== undefined) choose(nameOf(shown.at(to % shown.length)), { focus: true });
  });
}
const asked = location.hash.replace(/^#\/?/, "");
choose(asked in panels ? asked : "webcam");

// A file that no tab takes must not replace the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
document.addEventListener("visibilitychange", () => document.hidden && live.forEach((part) => part.leave()));

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(await problemOf(response));
  return response.json();
}

const [about, { cameras }] = await Promise.all([ask("/health"), ask("/cameras")]).catch((error) => {
  const reason = error instanceof TypeError ? text("unreachable") : error.message; // fetch's own errors
  for (const panel of Object.values(panels)) say(panel, text("load_again", { reason }), true);
  throw error;
});
const described = ({ model, labels }) => `${model}: ${labels.join(", ")}`;
const alike = String(about.labels) === String(about.compared?.labels);
find(document, "#model").textContent = about.compared
  ? text("two_models", { first: described(about), second: alike ? about.compared.model : described(about.compared) })
  : described(about);
show(find(document, "#collects"), about.collects);
const leave = find(document, "#leave");
show(leave, about.protected);
leave.addEventListener("click", () => fetch("/logout", { method: "POST" }).then(() => location.assign("/login")));
find(document, "#keep").textContent = text("data_video", { count: Math.round(about.limits.video_keep_seconds / 60) });
if (!cameras.length) {
  show(find(document, "#tab-camera"), false);
  if (!panels.camera.hidden) choose("webcam");
}
live.push(new Webcam(panels.webcam, about), new Camera(panels.camera, cameras, about));
new ImageTab(panels.image, about);
new Video(panels.video, about.limits);
