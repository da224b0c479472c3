// What the webcam and the named cameras share: pause, snapshot, a table to download, and a timeline of each face.

import { nameOf } from "./draw.js";
import { Rows } from "./rows.js";
import { text } from "./strings.js";
import { find, offer, show } from "./ui.js";

const SPAN = 60; // seconds of a timeline
const REDRAW = 0.2; // seconds
// A colour for each label; they differ in brightness too.
const LABEL_COLORS = ["#d1495b", "#8f6bb3", "#6c7a89", "#e9b44c", "#3f7cac", "#49a078", "#b0b7c3", "#a0522d"];

export class Session {
  // `source` names the table's rows; `image` draws what is seen on a new canvas.
  constructor(panel, about, { source, picture }) {
    Object.assign(this, { panel, about, source, picture, paused: false });
    this.faces = find(panel, ".faces");
    find(panel, ".pause").addEventListener("click", () => this.pause(!this.paused));
    find(panel, ".snapshot").addEventListener("click", () => this.snapshot());
    this.csv = find(panel, ".csv");
    this.csv.addEventListener("click", () => this.download());
    this.running(false);
  }

  begin() {
    Object.assign(this, { rows: new Rows(this.about), begun: performance.now(), index: 0, drawn: 0, tracks: new Map() });
    [this.before, this.highest] = [0, 0];
    this.csv.textContent = text("download_csv");
    this.running(true);
  }

  // A server counts the faces of each connection from 1: those of the next connection are other rows of the table.
  reconnected() {
    this.before = this.highest;
  }

  number(answer) {
    for (const face of answer.faces) {
      face.track += this.before;
      this.highest = Math.max(this.highest, face.track);
    }
  }

  running(on) {
    for (const kind of [".pause", ".snapshot"]) show(find(this.panel, kind), on);
    show(this.csv, on || Boolean(this.rows?.lines.length));
    this.pause(false);
  }

  pause(on) {
    this.paused = on;
    const button = find(this.panel, ".pause");
    button.textContent = text(on ? "resume" : "pause");
    this.onpause?.(on);
  }

  add(answer) {
    const seconds = (performance.now() - this.begun) / 1000;
    this.rows.add(this.source(), answer, this.index++, seconds);
    if (this.rows.full) this.csv.textContent = text("download_full_csv", { rows: this.rows.lines.length });
    answer.faces.forEach((face, index) => {
      const name = String(nameOf(face, index));
      if (!this.tracks.has(name)) this.tracks.set(name, []);
      this.tracks.get(name).push({ seconds, label: face.label, confidence: face.confidence, uncertain: face.uncertain });
    });
    for (const [name, points] of this.tracks) {
      while (points.length && points[0].seconds < seconds - SPAN) points.shift();
      if (!points.length) this.tracks.delete(name);
    }
    if (seconds - this.drawn < REDRAW) return;
    this.drawn = seconds;
    for (const section of this.faces.children) this.draw(section, seconds);
  }

  // The last minute of a face: the colour is the label, the height its confidence, pale where the model is uncertain.
  draw(section, now) {
    let canvas = find(section, "canvas");
    if (!canvas) {
      canvas = section.appendChild(document.createElement("canvas"));
      canvas.className = "timeline";
      canvas.title = text("last_minute");
      section.querySelectorAll("dt").forEach((term, row) => term.style.setProperty("--label", this.color(row)));
      section.classList.add("timed");
    }
    [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight];
    const context = canvas.getContext("2d");
    const points = this.tracks.get(section.dataset.name) ?? [];
    points.forEach(({ seconds, label, confidence, uncertain }, i) => {
      const x = (1 - (now - seconds) / SPAN) * canvas.width;
      const until = Math.min(points[i + 1]?.seconds ?? now, seconds + 1); // a face that was lost leaves a gap
      const width = Math.max(1, ((until - seconds) / SPAN) * canvas.width);
      context.globalAlpha = uncertain ? 0.35 : 1;
      context.fillStyle = this.color(this.about.labels.indexOf(label));
      context.fillRect(x, (1 - confidence) * canvas.height, width, confidence * canvas.height);
    });
  }

  color(row) {
    return LABEL_COLORS[row % LABEL_COLORS.length];
  }

  snapshot() {
    this.picture().toBlob((blob) => blob && save(blob, `${this.source()}.png`));
  }

  download() {
    save(this.rows.csv(), `${this.source()}.csv`);
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  offer(link, blob, name);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
