// A video file: sent, labelled while a bar shows the progress, shown, and deleted on the server when the client leaves.

import { find, megabytes, onFiles, problemOf, say, show } from "./ui.js";

const ASK = 500; // milliseconds between two questions how far it is
const REMIND = 60_000;

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Video {
  constructor(panel, limits) {
    Object.assign(this, { panel, limits });
    const minutes = limits.video_seconds / 60;
    find(panel, ".limit").textContent = `MP4, MOV, WebM, MKV, AVI or MPEG, up to ${megabytes(limits.video_bytes)} and ${minutes} minutes`;
    onFiles(panel, ([file]) => this.send(file));
    find(panel, ".cancel").addEventListener("click", () => this.cancel());
    addEventListener("pagehide", () => this.forget());
  }

  send(file) {
    this.forget();
    if (file.size > this.limits.video_bytes) {
      return this.end(`The file has ${megabytes(file.size)}; the limit is ${megabytes(this.limits.video_bytes)}`);
    }
    const upload = (this.upload = new XMLHttpRequest()); // fetch tells no progress of an upload
    upload.open("POST", "/videos");
    upload.responseType = "json";
    upload.setRequestHeader("Content-Type", "application/octet-stream");
    upload.upload.onprogress = ({ loaded, total }) => this.progress(loaded / total, `Sending, ${megabytes(loaded)} of ${megabytes(total)}`);
    upload.onerror = () => this.upload === upload && this.end("The server cannot be reached");
    upload.onload = () => {
      if (this.upload !== upload) return;
      this.upload = null;
      if (upload.status !== 202) return this.end(upload.response?.detail ?? `the server answered ${upload.status}`);
      this.id = upload.response.id;
      this.begun = null;
      this.ask(this.id);
    };
    this.progress(null, "Sending");
    upload.send(file);
  }

  async ask(id) {
    while (this.id === id) {
      let job;
      try {
        const response = await fetch(`/videos/${id}`);
        if (!response.ok) return this.id === id && this.end(await problemOf(response));
        job = await response.json();
      } catch {
        job = { state: "unreachable" }; // asked again: the work goes on
      }
      if (this.id !== id) return;
      if (job.state === "done") {
        this.result(job);
        return this.keep(id);
      }
      if (job.state === "failed" || job.state === "cancelled") return this.end(job.detail || `The video is ${job.state}`);
      if (job.state === "working") this.working(job);
      else this.progress(null, job.state === "waiting" ? "Waiting for its turn" : "The server cannot be reached, trying again");
      await pause(ASK);
    }
  }

  // As long as the result is shown the server is told, or it would delete it one day.
  async keep(id) {
    while (this.id === id) {
      await pause(REMIND);
      const response = this.id === id && (await fetch(`/videos/${id}`).catch(() => null));
      if (this.id === id && response && !response.ok) this.end(await problemOf(response));
    }
  }

  working({ frames, total }) {
    this.begun ??= { time: performance.now(), frames };
    const rate = (frames - this.begun.frames) / (performance.now() - this.begun.time); // frames a millisecond
    const left = total && rate > 0 ? `, ${Math.ceil((total - frames) / rate / 1000)} s left` : "";
    this.progress(total ? frames / total : null, `Labelling, ${frames} ${total ? `of ${total} ` : ""}frames${left}`);
  }

  progress(share, text) {
    const bar = find(this.panel, "progress");
    if (share === null) bar.removeAttribute("value");
    else bar.value = Math.min(1, share);
    show(find(this.panel, ".work"), true);
    say(this.panel, text, false, true);
  }

  result(job) {
    show(find(this.panel, ".work"), false);
    say(this.panel, job.detail || "Done");
    const place = `/videos/${this.id}`;
    find(this.panel, "video").src = find(this.panel, ".copy").href = `${place}/annotated.mp4`;
    find(this.panel, ".rows").href = `${place}/rows.csv`;
    find(this.panel, ".timeline").src = `${place}/timeline.png`;
    find(this.panel, ".summary").textContent = job.summary;
    show(find(this.panel, ".result"), true);
  }

  cancel() {
    this.forget();
    say(this.panel, "Cancelled; the server keeps nothing of the video");
  }

  end(reason) {
    this.forget();
    say(this.panel, reason, true);
  }

  // Ends what is under way and deletes what the server has of it.
  forget() {
    this.upload?.abort();
    if (this.id) fetch(`/videos/${this.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
    this.upload = this.id = null;
    find(this.panel, "video").removeAttribute("src");
    find(this.panel, "video").load();
    show(find(this.panel, ".work"), false);
    show(find(this.panel, ".result"), false);
  }
}
