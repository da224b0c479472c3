// A camera that the server was started with; a client chooses by name.

import { drawBars, drawFaces } from "./draw.js";
import { Session } from "./live.js";
import { Line, Rate } from "./socket.js";
import { text } from "./strings.js";
import { find, say, show } from "./ui.js";

export class Camera {
  constructor(panel, names, about) {
    this.panel = panel;
    this.session = new Session(panel, about, { source: () => this.select.value, picture: () => this.canvas });
    [this.stage, this.canvas] = [find(panel, ".stage"), find(panel, "canvas")];
    this.select = find(panel, "select");
    this.select.replaceChildren(...names.map((name) => new Option(name)));
    find(panel, ".start").addEventListener("click", () => this.start());
    find(panel, ".stop").addEventListener("click", () => this.stop());
    this.select.addEventListener("change", () => this.line && this.start());
  }

  start() {
    this.stop();
    this.running(true);
    say(this.panel, text("opening_camera"));
    this.rate = new Rate();
    this.session.begin();
    this.image = null;
    const line = (this.line = new Line(`/cameras/${encodeURIComponent(this.select.value)}`, {
      opened: () => this.session.reconnected(),
      heard: (words, data) => (words ? this.hear(words) : (this.image = createImageBitmap(data))),
      told: (words, final) => {
        if (final) this.stop();
        if (final || this.line === line) this.lost(words);
      },
    }));
  }

  async hear(answer) {
    if (answer.notice) return this.lost(answer.notice);
    const line = this.line;
    const image = await this.image;
    if (this.line !== line || !line.ready) return; // what is said of a lost connection stays
    this.stage.classList.remove("stale");
    line.send("next");
    if (this.session.paused) return image.close();
    [this.canvas.width, this.canvas.height] = [image.width, image.height];
    this.canvas.getContext("2d").drawImage(image, 0, 0);
    image.close();
    this.session.number(answer);
    drawFaces(this.canvas, answer);
    drawBars(find(this.panel, ".faces"), answer.faces);
    this.session.add(answer);
    find(this.panel, ".rate").textContent = this.rate.tick();
    say(this.panel, answer.faces.length ? "" : text("no_face_in_sight"));
  }

  // The last image stays, but is not to be taken for what the camera sees now.
  lost(reason) {
    this.stage.classList.add("stale");
    find(this.panel, ".rate").textContent = "";
    say(this.panel, reason, true);
  }

  leave() {
    if (!this.line) return;
    this.stop();
    say(this.panel, text("camera_left"));
  }

  stop() {
    this.stage.classList.remove("stale");
    this.line?.close();
    this.line = null;
    this.canvas.width = this.canvas.width; // clears it
    find(this.panel, ".faces").replaceChildren();
    find(this.panel, ".rate").textContent = "";
    say(this.panel, "");
    this.running(false);
    this.session.running(false);
  }

  running(on) {
    for (const kind of [".start", ".idle"]) show(find(this.panel, kind), !on);
    show(find(this.panel, ".stop"), on);
  }
}
