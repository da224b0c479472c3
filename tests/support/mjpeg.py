"""A network camera on loopback that can stop, stall and return."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2


class Camera:
    """A network camera: JPEG images over HTTP for as long as one listens, from a port that stays.

    `draw(i)` gives image number i, uint8 (H, W, 3).
    """

    def __init__(self, draw, fps=50):
        self.draw, self.fps, self.sent, self.port = draw, fps, 0, 0
        self.stalled, self.logins = threading.Event(), []

    def start(self):
        camera, ended = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                camera.logins.append(self.headers.get("Authorization"))
                if self.path.startswith("/locked") and not camera.logins[-1]:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                try:
                    while not ended.wait(1 / camera.fps):
                        if not camera.stalled.is_set():
                            self.send()
                except OSError:  # nobody listens any more
                    pass

            def send(self):
                jpeg = cv2.imencode(".jpg", camera.draw(camera.sent))[1].tobytes()
                camera.sent += 1
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")

        self._ended = ended
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def address(self, path="/live", login=""):
        return f"http://{login}127.0.0.1:{self.port}{path}"
