// The client's own camera: shown as it comes, with the boxes of the latest answer over it.

import { drawBars, drawFaces } from "./draw.js";
import { Session } from "./live.js";
import { Line, Rate } from "./socket.js";
import { text } from "./strings.js";
import { find, say, show } from "./ui.js";

const LONGEST = 640; // pixels: the longer side of an image that is sent
const QUALITY = 0.8;
const KEEP = 20_000; // milliseconds, or a third of the time after which the server closes a silent connection
const IN_FLIGHT = 2; // images on their way at once: one travels while the other is labelled
const SILENT = 2000; // milliseconds without an answer, after which boxes would lie about the video
const RECONNECT = 10_000; // milliseconds without an answer, after which the connection is given up
const FACINGS = { user: "front_camera", environment: "back_camera" }; // of getUserMedia
// What is said of the errors of getUserMedia.
const REFUSALS = {
  NotAllowedError: "camera_not_allowed",
  NotFoundError: "camera_not_found",
  NotReadableError: "camera_not_readable",
  OverconstrainedError: "camera_gone",
};

export class Webcam {
  constructor(panel, about) {
    this.panel = panel;
    this.keep = Math.min(KEEP, 1000 * about.limits.idle_seconds / 3);
    this.session = new Session(panel, about, { source: () => "webcam", picture: () => this.picture() });
    this.session.onpause = (on) => this.hold(on);
    [this.video, this.overlay] = [find(panel, "video"), find(panel, "canvas")];
    [this.mirror, this.devices] = [find(panel, ".mirror"), find(panel, ".devices")];
    this.capture = document.createElement("canvas");
    this.back = false; // whether the camera looks away from the person
    find(panel, ".start").addEventListener("click", () => this.start());
    find(panel, ".stop").addEventListener("click", () => this.stop());
    this.chosen = find(this.devices, "select");
    this.chosen.addEventListener("change", () => this.turn && this.start());
    this.mirror.addEventListener("change", () => this.video.classList.toggle("mirrored", this.mirror.checked));
    this.video.classList.add("mirrored");
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.list());
    if (navigator.mediaDevices?.enumerateDevices) this.list();
  }

  async start() {
    this.stop();
    if (!navigator.mediaDevices?.getUserMedia) return say(this.panel, text("camera_insecure"), true);
    const turn = (this.turn = {}); // whoever has stopped or started again in the meantime has another
    say(this.panel, text("asking_for_camera"));
    const { value } = this.chosen;
    const which = !value || FACINGS[value] ? { facingMode: { ideal: value || "user" } } : { deviceId: { exact: value } };
    const wanted = { width: { ideal: 1280 }, height: { ideal: 720 }, ...which };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      if (this.turn !== turn) return stream.getTracks().forEach((track) => track.stop());
      this.stream = stream;
      stream.getVideoTracks()[0].onended = () => this.end(text("camera_unplugged"));
      this.video.srcObject = stream;
      await this.video.play();
    } catch (error) {
      if (this.turn === turn) this.end(text(REFUSALS[error.name] ?? "camera_unusable", { reason: error.message }));
      return;
    }
    if (this.turn !== turn) return;
    this.unmirror(this.stream.getVideoTracks()[0].getSettings().facingMode === "environment");
    this.running(true);
    this.session.begin();
    await this.list();
    if (this.turn !== turn) return;
    [this.inFlight, this.rate] = [0, new Rate()];
    say(this.panel, text("connecting"));
    this.line = new Line("/live", {
      opened: () => this.opened(),
      heard: (answer) => this.hear(answer),
      told: (words, final) => (final ? this.end(words) : (this.clear(), say(this.panel, words, true))),
    });
    this.next(turn);
  }

  opened() {
    this.inFlight = 0;
    this.session.reconnected();
    say(this.panel, text("connected")); // until the first answer
  }

  // Sends the newest frame once the one before is answered.
  next(turn) {
    if (this.turn !== turn) return;
    this.check();
    const due = !this.session.paused && this.line.ready && this.inFlight < IN_FLIGHT && this.video.videoWidth;
    if (due) this.send();
    const again = () => this.next(turn);
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(again);
    else requestAnimationFrame(again);
  }

  // Hides the boxes where the server is silent, and in the end connects anew.
  check() {
    if (!this.inFlight || !this.line.ready) return;
    const silent = performance.now() - this.asked;
    if (silent > RECONNECT) this.line.drop();
    else if (silent > SILENT && !this.silent) {
      this.silent = true;
      this.clear();
      say(this.panel, text("server_silent"), true);
    }
  }

  send() {
    if (!this.inFlight) this.asked = performance.now();
    const scale = Math.min(1, LONGEST / Math.max(this.video.videoWidth, this.video.videoHeight));
    this.capture.width = Math.round(this.video.videoWidth * scale);
    this.capture.height = Math.round(this.video.videoHeight * scale);
    this.capture.getContext("2d").drawImage(this.video, 0, 0, this.capture.width, this.capture.height);
    this.inFlight++;
    const line = this.line;
    this.capture.toBlob((blob) => (blob ? line.send(blob) : this.inFlight--), "image/jpeg", QUALITY);
  }

  hear(answer) {
    this.inFlight = Math.max(0, this.inFlight - 1);
    [this.asked, this.silent] = [performance.now(), false]; // what is still in flight is waited for from now on
    if (this.session.paused) return;
    this.session.number(answer);
    const ratio = Math.min(2, devicePixelRatio);
    this.overlay.width = this.video.clientWidth * ratio;
    this.overlay.height = this.video.clientHeight * ratio;
    drawFaces(this.overlay, answer, this.mirror.checked);
    drawBars(find(this.panel, ".faces"), answer.faces);
    this.session.add(answer);
    find(this.panel, ".rate").textContent = this.rate.tick();
    say(this.panel, answer.faces.length ? "" : text("no_face_in_sight"));
  }

  // While it is paused, a frame now and then keeps the connection.
  hold(on) {
    clearInterval(this.keeping);
    if (!this.stream) return;
    if (on) this.video.pause();
    else this.video.play();
    if (on) this.keeping = setInterval(() => this.line?.ready && this.send(), this.keep);
  }

  // What is seen now: the video as it is shown, with its boxes.
  picture() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.video.videoWidth, this.video.videoHeight];
    const context = canvas.getContext("2d");
    if (this.mirror.checked) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
    context.drawImage(this.video, 0, 0);
    context.resetTransform();
    context.drawImage(this.overlay, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  // Offers front and back where there may be both, and each camera by name as soon as the browser tells the names.
  async list() {
    const found = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    const cameras = found.filter(({ kind, deviceId }) => kind === "videoinput" && deviceId);
    const named = cameras.map(({ label, deviceId }, i) => [label || text("camera_number", { number: i + 1 }), deviceId]);
    const facings = matchMedia("(pointer: coarse)").matches ? Object.entries(FACINGS).map(([mode, key]) => [text(key), mode]) : [];
    const options = [...facings, ...(cameras.length > 1 ? named : [])];
    const running = this.stream?.getVideoTracks()[0].getSettings();
    const wanted = this.chosen.value || running?.deviceId;
    const selected = options.some(([, value]) => value === wanted) ? wanted : options[0]?.[1];
    this.chosen.replaceChildren(...options.map(([label, value]) => new Option(label, value, false, value === selected)));
    show(this.devices, options.length > 1);
  }

  // Only a camera that looks at the person is a mirror.
  unmirror(back) {
    if (back === this.back) return;
    this.back = back;
    this.mirror.checked = !back;
    this.video.classList.toggle("mirrored", !back);
  }

  end(reason) {
    this.stop();
    say(this.panel, reason, true);
  }

  // Out of sight nobody needs the camera.
  leave() {
    if (!this.turn) return;
    this.stop();
    say(this.panel, text("webcam_left"));
  }

  stop() {
    this.turn = null;
    this.line?.close();
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = this.line = this.video.srcObject = null;
    this.clear();
    say(this.panel, "");
    this.running(false);
    this.session.running(false);
  }

  // Boxes that no answer keeps up to date would lie about a video that moves on.
  clear() {
    this.overlay.width = this.overlay.width;
    find(this.panel, ".faces").replaceChildren();
    find(this.panel, ".rate").textContent = "";
  }

  running(on) {
    for (const kind of [".start", ".idle"]) show(find(this.panel, kind), !on);
    show(find(this.panel, ".stop"), on);
  }
}
