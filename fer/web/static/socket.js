// A WebSocket that comes back: after a break it is opened again, less and less eagerly; a refusal by the server is final.

import { text } from "./strings.js";
import { problemOf } from "./ui.js";

const PAUSES = [1, 2, 5, 10]; // seconds

export class Line {
  // `heard` gets every message; `told` one line for the person, and whether it is the end.
  constructor(path, { opened = () => {}, heard, told }) {
    Object.assign(this, { path, opened, heard, told, tries: 0, closed: false });
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.socket = new WebSocket(`${scheme}//${location.host}${this.path}`));
    socket.binaryType = "blob";
    let met = false;
    socket.onopen = () => {
      met = true;
      this.opened();
    };
    socket.onmessage = ({ data }) => {
      if (this.closed) return;
      this.tries = 0;
      const words = typeof data === "string" ? JSON.parse(data) : null;
      if (words?.error) this.end(words.error);
      else this.heard(words, data);
    };
    socket.onclose = () => (met ? this.lost() : this.refused());
  }

  // Why a handshake failed no browser says; whoever has no token any more would wait for ever.
  async refused() {
    const response = await fetch("/cameras").catch(() => null);
    if (this.closed) return;
    if (response?.status === 401) this.end(await problemOf(response));
    else this.lost();
  }

  lost() {
    if (this.closed) return;
    const pause = PAUSES[Math.min(this.tries++, PAUSES.length - 1)];
    this.told(text("connection_lost", { seconds: pause }), false);
    this.timer = setTimeout(() => this.open(), 1000 * pause);
  }

  // Gives up a connection on which nothing comes: where the network is gone, a browser notices it after minutes.
  drop() {
    Object.assign(this.socket, { onopen: null, onmessage: null, onclose: null });
    this.socket.close();
    this.lost();
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(data) {
    if (this.ready) this.socket.send(data);
  }

  end(reason) {
    this.close();
    this.told(reason[0].toUpperCase() + reason.slice(1), true);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}

// Answers a second, over the last two seconds.
export class Rate {
  times = [];

  tick() {
    const now = performance.now();
    this.times = [...this.times.filter((time) => now - time < 2000), now];
    const passed = now - this.times[0];
    return passed > 500 ? text("rate", { rate: ((1000 * (this.times.length - 1)) / passed).toFixed(0) }) : "";
  }
}
