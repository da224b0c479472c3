// A camera that the server was started with; a visitor chooses by name.

import { drawBars, drawFaces } from "./draw.js";
import { Line, Rate } from "./socket.js";
import { find, say, show } from "./ui.js";

export class Camera {
  constructor(panel, names) {
    this.panel = panel;
    this.canvas = find(panel, "canvas");
    this.select = find(panel, "select");
    this.select.replaceChildren(...names.map((name) => new Option(name)));
    find(panel, ".start").addEventListener("click", () => this.start());
    find(panel, ".stop").addEventListener("click", () => this.stop());
    this.select.addEventListener("change", () => this.line && this.start());
    if (!names.length) {
      show(find(panel, ".controls"), false);
      show(find(panel, ".live"), false);
      say(panel, "This server shows no cameras. Whoever runs it can name some when it starts: --camera NAME=URL");
    }
  }

  start() {
    this.stop();
    this.running(true);
    say(this.panel, "Opening the camera");
    this.rate = new Rate();
    this.picture = null;
    const line = (this.line = new Line(`/cameras/${encodeURIComponent(this.select.value)}`, {
      heard: (words, data) => (words ? this.hear(words) : (this.picture = createImageBitmap(data))),
      told: (text, final) => {
        if (final) this.stop();
        if (final || this.line === line) say(this.panel, text, true);
      },
    }));
  }

  async hear(answer) {
    if (answer.notice) return say(this.panel, answer.notice, true);
    const line = this.line;
    const picture = await this.picture;
    if (this.line !== line || !line.ready) return; // what is said of a lost connection stays
    [this.canvas.width, this.canvas.height] = [picture.width, picture.height];
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    drawFaces(this.canvas, answer);
    drawBars(find(this.panel, ".faces"), answer.faces);
    find(this.panel, ".rate").textContent = this.rate.tick();
    say(this.panel, answer.faces.length ? "" : "No face in sight");
    line.send("next");
  }

  stop() {
    this.line?.close();
    this.line = null;
    this.canvas.width = this.canvas.width; // clears it
    find(this.panel, ".faces").replaceChildren();
    find(this.panel, ".rate").textContent = "";
    if (this.select.options.length) say(this.panel, "");
    this.running(false);
  }

  leave() {
    const ran = this.line;
    this.stop();
    if (ran) say(this.panel, "Stopped while this page was out of sight");
  }

  running(on) {
    find(this.panel, ".stage").classList.toggle("on", on);
    show(find(this.panel, ".start"), !on);
    show(find(this.panel, ".stop"), on);
  }
}
