// A video file: sent, labelled while a bar shows the progress, shown, and deleted on the server when the client leaves.

import { text } from "./strings.js";
import { find, isBusy, megabytes, onFiles, pause, problemOf, say, show } from "./ui.js";

const ASK = 500; // milliseconds between two questions how far it is
const REMIND = 60_000; // or a third of the time for which the server keeps a result

export class Video {
  constructor(panel, limits) {
    Object.assign(this, { panel, limits });
    find(panel, ".limit").textContent = text("video_limit", { size: megabytes(limits.video_bytes), count: limits.video_seconds / 60 });
    this.remind = Math.min(REMIND, 1000 * limits.video_keep_seconds / 3);
    onFiles(panel, (files) => (files.length === 1 ? this.send(files[0]) : say(panel, text("one_video"), true)));
    find(panel, ".cancel").addEventListener("click", () => this.cancel());
    addEventListener("pagehide", () => this.forget());
  }

  send(file) {
    this.forget();
    if (file.size > this.limits.video_bytes) {
      return this.end(text("file_too_large", { size: megabytes(file.size), most: megabytes(this.limits.video_bytes) }));
    }
    const upload = (this.upload = new XMLHttpRequest()); // fetch tells no progress of an upload
    upload.open("POST", "/videos");
    upload.responseType = "json";
    upload.setRequestHeader("Content-Type", "application/octet-stream");
    upload.upload.onprogress = ({ loaded, total }) => this.progress(loaded / total, text("sending_part", { done: megabytes(loaded), total: megabytes(total) }));
    upload.onerror = () => this.upload === upload && this.end(text("unreachable"));
    upload.onload = () => {
      if (this.upload !== upload) return;
      this.upload = null;
      if (upload.status !== 202) return this.end(upload.response?.detail ?? text("answered", { status: upload.status }));
      this.id = upload.response.id;
      this.begun = null;
      this.ask(this.id);
    };
    this.progress(null, text("sending"));
    upload.send(file);
  }

  async ask(id) {
    while (this.id === id) {
      let job;
      try {
        const response = await fetch(`/videos/${id}`);
        if (!response.ok && !isBusy(response)) return this.id === id && this.end(await problemOf(response));
        job = response.ok ? await response.json() : { state: "unreachable" };
      } catch {
        job = { state: "unreachable" };
      }
      if (this.id !== id) return;
      if (job.state === "done") {
        this.result(job);
        return this.keep(id);
      }
      if (job.state === "failed") return this.end(job.detail || text("video_failed"));
      if (job.state === "working") this.working(job);
      else this.progress(null, text(job.state === "waiting" ? "waiting" : "unreachable_now")); // asked again
      await pause(ASK);
    }
  }

  // As long as the result is shown the server is told, or it would delete it one day.
  async keep(id) {
    while (this.id === id) {
      await pause(this.remind);
      const response = this.id === id && (await fetch(`/videos/${id}`).catch(() => null));
      if (this.id === id && response && !response.ok && !isBusy(response)) this.end(await problemOf(response));
    }
  }

  working({ frames, total }) {
    this.begun ??= { time: performance.now(), frames };
    const rate = (frames - this.begun.frames) / (performance.now() - this.begun.time); // frames a millisecond
    const key = !total ? "frames" : rate > 0 ? "frames_of_left" : "frames_of";
    const words = text(key, { done: frames, total, seconds: Math.ceil((total - frames) / rate / 1000) });
    this.progress(total ? frames / total : null, words);
  }

  progress(share, words) {
    const bar = find(this.panel, "progress");
    if (share === null) bar.removeAttribute("value");
    else bar.value = Math.min(1, share);
    show(find(this.panel, ".work"), true);
    say(this.panel, words, false, true);
  }

  result(job) {
    show(find(this.panel, ".work"), false);
    say(this.panel, job.detail || text("done"));
    const place = `/videos/${this.id}`;
    find(this.panel, "video").src = find(this.panel, ".copy").href = `${place}/annotated.mp4`;
    find(this.panel, ".rows").href = `${place}/rows.csv`;
    find(this.panel, ".timeline").src = `${place}/timeline.png`;
    find(this.panel, ".summary").textContent = job.summary;
    show(find(this.panel, ".result"), true);
  }

  cancel() {
    this.forget();
    say(this.panel, text("video_dropped"));
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
