// The Image tab: one image with its faces marked, or a table of many.

import { offerCorrections } from "./correct.js";
import { drawBars, drawFaces, nameOf, titleOf } from "./draw.js";
import { imagesIn, pathOf } from "./files.js";
import { Rows } from "./rows.js";
import { text } from "./strings.js";
import { find, megabytes, offer, onFiles, patiently, percent, problemOf, say, show } from "./ui.js";
import { offerReasons } from "./why.js";

const SMALLEST = 240; // pixels of a labelled copy's shorter side: words need room
const LARGEST = 4096; // and of its longer side: phones draw no larger canvas
const THUMBNAIL = 64; // pixels
const AT_ONCE = 2; // requests
const FINAL = new Set([413, 415, 422]); // answers about the image itself; others may differ next time

export class ImageTab {
  constructor(panel, about) {
    Object.assign(this, { panel, about, limits: about.limits });
    find(panel, ".limit").textContent = text("image_limit", { size: megabytes(this.limits.image_bytes) });
    onFiles(panel, (files) => this.take(files));
    find(panel, ".example").addEventListener("click", () => this.example());
    find(panel, ".curl").addEventListener("click", () => this.copyCommand());
    find(panel, ".cancel").addEventListener("click", () => (this.turn.stopped = true));
    this.second = about.compared?.model;
    if (this.second) addColumns(panel, about.model, this.second);
    find(panel, "details").open = matchMedia("(min-width: 48rem)").matches;
    document.addEventListener("paste", (event) => {
      const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
      if (file && !panel.hidden) this.label(file);
    });
  }

  async take(files) {
    try {
      const images = await imagesIn(files);
      if (images.length === 1) await this.label(images[0]);
      else if (images.length) await this.labelMany(images);
      else say(this.panel, text("no_image"), true);
    } catch (error) {
      say(this.panel, error.message, true);
    }
  }

  async example() {
    const response = await fetch("/static/example.jpg");
    await this.label(new File([await response.blob()], "example.jpg", { type: "image/jpeg" }));
  }

  // The result of a file; throws one line for a person.
  // `final` says that the image itself is refused. While the server is busy, it is asked again unless `stopped`.
  async predict(file, { query = "", stopped = () => true } = {}) {
    if (file.size > this.limits.image_bytes) {
      const words = text("file_too_large", { size: megabytes(file.size), most: megabytes(this.limits.image_bytes) });
      throw Object.assign(new Error(words), { final: true });
    }
    const form = new FormData();
    form.append("image", file);
    const send = () => fetch(`/predict${query}`, { method: "POST", body: form });
    const response = await patiently(send, stopped).catch(() => {
      throw new Error(text("unreachable"));
    });
    if (!response.ok) throw Object.assign(new Error(await problemOf(response)), { final: FINAL.has(response.status) });
    return response.json();
  }

  // `keep` leaves the table of many, to which the image belongs.
  async label(file, { keep = false } = {}) {
    const turn = (this.turn = {}); // a later image makes this one's result stale
    for (const part of [".result", ".cancel", ...(keep ? [] : [".many"])]) show(find(this.panel, part), false);
    say(this.panel, text("labelling"));
    try {
      const answer = await this.predict(file);
      const image = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => {
        throw new Error(text("image_not_shown"));
      });
      if (image.width !== answer.width || image.height !== answer.height) {
        throw new Error(text("image_not_turned")); // WebP in Chromium
      }
      if (this.turn === turn) this.show(file, image, answer);
    } catch (error) {
      if (this.turn === turn) say(this.panel, error.message, true);
    }
  }

  show(file, image, answer) {
    const { panel } = this;
    const count = answer.faces.length;
    this.name = file.name;
    say(panel, count ? text("faces_found", { count }) : text("no_face"));
    const original = find(panel, ".pair img");
    if (original.src) URL.revokeObjectURL(original.src);
    original.src = URL.createObjectURL(file);
    this.image?.close();
    this.image = image;
    show(find(panel, ".result"), true);
    this.draw(answer); // now that it is known how large it stands on the screen
    offer(find(panel, ".result .json"), json(answer), `${this.stem()}.json`);
    find(panel, ".result tbody").replaceChildren(...answer.faces.map((face, index) => row(face, index)));
    show(find(panel, "details"), count > 0);
    drawBars(find(panel, ".faces"), answer.faces, this.second);
    if (this.about.explains) this.offerReasons(file, answer);
    if (this.about.collects) offerCorrections(find(panel, ".faces"), file, answer.faces, this.about.labels);
  }

  // The labelled copy; `reasons` are heat maps of faces.
  draw(answer, reasons = []) {
    const canvas = find(this.panel, ".pair canvas");
    const { width, height } = this.image;
    const scale = Math.min(Math.max(1, SMALLEST / Math.min(width, height)), LARGEST / Math.max(width, height));
    [canvas.width, canvas.height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    const context = canvas.getContext("2d");
    context.drawImage(this.image, 0, 0, canvas.width, canvas.height);
    for (const { face, map } of reasons) {
      context.drawImage(map, ...[face.x, face.y, face.width, face.height].map((side) => side * scale));
    }
    drawFaces(canvas, answer);
    canvas.toBlob((blob) => blob && offer(find(this.panel, ".annotated"), blob, `${this.stem()}-labelled.png`));
  }

  stem() {
    return this.name.replace(/\.[^.]*$/, "") || "image";
  }

  offerReasons(file, answer) {
    const { turn } = this;
    const explain = async () => (await this.predict(file, { query: "?explain=true" })).faces;
    offerReasons(find(this.panel, ".faces"), answer.faces, this.limits.explained_faces, explain, (reasons, words) => {
      if (this.turn !== turn) return; // another image has taken the tab
      if (reasons) this.draw(answer, reasons);
      say(this.panel, words, !reasons);
    });
  }

  // A table with a row for each file, in order; a bad file does not stop the others.
  async labelMany(files) {
    const turn = (this.turn = {});
    const { panel } = this;
    show(find(panel, ".result"), false);
    show(find(panel, ".many"), true);
    const lines = files.map((file) => this.line(file));
    find(panel, ".many tbody").replaceChildren(...lines);
    const results = new Array(files.length);
    let [next, done] = [0, 0];
    const stopped = () => turn.stopped || this.turn !== turn;
    const work = async () => {
      while (next < files.length && !stopped()) {
        const at = next++;
        results[at] = await this.labelLine(files[at], lines[at], stopped);
        done++;
        if (this.turn === turn) say(panel, text("labelled_images", { done, total: files.length }), false, true);
      }
    };
    show(find(panel, ".cancel"), true);
    for (const link of panel.querySelectorAll(".many a")) show(link, false);
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (this.turn !== turn) return; // other images have taken the tab
    show(find(panel, ".cancel"), false);
    for (const line of lines) find(line, "button").disabled = false;
    const known = results.filter(Boolean);
    say(panel, text("images_labelled", { count: known.length, refused: known.filter(({ result }) => result.detail).length }));
    const rows = new Rows(this.about, { images: true });
    // "unreadable" is said of images alone: the server may take what it had no time for.
    for (const { name, result, final } of known) if (final || !result.detail) rows.add(name, result.detail ? null : result);
    offer(find(panel, ".many .csv"), rows.csv(), "expressions.csv");
    offer(find(panel, ".many .json"), json(known.map(({ name, result }) => ({ name, ...result }))), "expressions.json");
    for (const link of panel.querySelectorAll(".many a")) show(link, true);
  }

  line(file) {
    const line = document.createElement("tr");
    const picture = line.insertCell().appendChild(document.createElement("canvas"));
    [picture.width, picture.height] = [THUMBNAIL, THUMBNAIL];
    const name = line.insertCell().appendChild(document.createElement("button"));
    name.className = "link";
    name.textContent = pathOf(file);
    name.disabled = true; // while the others are labelled
    name.addEventListener("click", () => this.label(file, { keep: true }));
    for (const _ of ["faces", "expression"]) line.insertCell();
    return line;
  }

  async labelLine(file, line, stopped) {
    const name = pathOf(file);
    const [thumbnail, , faces, words] = line.cells;
    try {
      const result = await this.predict(file, { stopped });
      faces.textContent = result.faces.length;
      const [face] = result.faces;
      words.textContent = face ? together(titleOf(face)) : "";
      if (this.second) line.insertCell().textContent = face ? together(titleOf(face.compared)) : "";
      drawThumbnail(find(thumbnail, "canvas"), await createImageBitmap(file).catch(() => null));
      return { name, result };
    } catch (error) {
      words.textContent = error.message;
      if (this.second) words.colSpan = 2;
      line.className = "problem";
      return { name, result: { detail: error.message }, final: error.final };
    }
  }

  async copyCommand() {
    // Escaped for curl, to which a quote would end the name and a comma begin another file; then for the shell.
    const name = this.name.replace(/["\\]/g, String.raw`\$&`).replaceAll("'", String.raw`'\''`);
    const token = this.about.protected ? ` -H "Authorization: Bearer $TOKEN"` : ""; // which this page does not know
    const command = `curl${token} -F 'image=@"${name}"' ${location.origin}/predict`;
    try {
      await navigator.clipboard.writeText(command);
      say(this.panel, text(token ? "copied_token" : "copied"));
    } catch {
      say(this.panel, command); // no permission, or not over https
    }
  }
}

const json = (content) => new Blob([JSON.stringify(content, null, 1)], { type: "application/json" });

const together = (title) => title.replace(" %", "\u00a0%"); // in a narrow column

function drawThumbnail(canvas, image) {
  if (!image) return;
  const scale = THUMBNAIL / Math.max(image.width, image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  canvas.getContext("2d").drawImage(image, (THUMBNAIL - width) / 2, (THUMBNAIL - height) / 2, width, height);
  image.close();
}

function row(face, index) {
  const line = document.createElement("tr");
  const says = (one) => [one.uncertain ? text("uncertain_title", { title: one.label }) : one.label, percent(one.confidence)];
  const second = face.compared ? says(face.compared) : [];
  const cells = [nameOf(face, index), ...says(face), ...second, face.x, face.y, face.width, face.height];
  for (const cell of cells) line.insertCell().textContent = cell;
  if (face.compared) line.cells[3].className = "words";
  return line;
}

// Columns for a second model, in both tables.
function addColumns(panel, first, second) {
  const heading = (words) => Object.assign(document.createElement("th"), { scope: "col", textContent: words });
  find(panel, ".result thead th:nth-child(2)").textContent = first;
  const label = heading(second);
  label.className = "words";
  find(panel, ".result thead th:nth-child(3)").after(label, heading(text("confidence")));
  find(panel, ".many thead th:last-child").textContent = `${text("largest_face")}, ${first}`;
  find(panel, ".many thead tr").append(heading(second));
}
