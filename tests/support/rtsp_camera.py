"""An RTSP camera on loopback: `python3 rtsp_camera.py PORT`, or `--check` to see whether this interpreter can run it.

It needs Debian's gst-rtsp-server, which only the system's Python sees, so it is a program and no module. Each frame
carries the time at which it was taken: the milliseconds of the monotonic clock as 24 black and white squares, the
lowest first; see `taken`.
"""

import sys
import time

FPS, SQUARE, COLUMNS, ROWS = 15, 40, 8, 3
WIDTH, HEIGHT = 320, 240
LAUNCH = (
    "( appsrc name=source is-live=true format=time do-timestamp=true ! videoconvert ! "
    f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max={FPS} ! rtph264pay name=pay0 pt=96 )"
)


def taken(image):
    """Milliseconds of the monotonic clock, modulo 2^24, that a frame (240, 320, 3) carries."""
    squares = image[SQUARE // 2 : ROWS * SQUARE : SQUARE, SQUARE // 2 :: SQUARE, 1].ravel() > 127
    return sum(int(square) << bit for bit, square in enumerate(squares))


def _drawn(milliseconds):
    rows = []
    for row in range(ROWS):
        bits = [milliseconds >> (row * COLUMNS + column) & 1 for column in range(COLUMNS)]
        rows.append(b"".join((b"\xf0" if bit else b"\x10") * SQUARE for bit in bits) * SQUARE)
    return b"".join(rows) + b"\x80" * (WIDTH * (HEIGHT - ROWS * SQUARE))


def main():
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    for element in ("appsrc", "videoconvert", "x264enc", "rtph264pay"):
        if Gst.ElementFactory.find(element) is None:
            sys.exit(f"GStreamer has no {element}")
    if sys.argv[1] == "--check":
        return

    def push(source, _):
        time.sleep(1 / FPS)
        source.emit("push-buffer", Gst.Buffer.new_wrapped(_drawn(round(1000 * time.monotonic()) % (1 << 24))))

    def configure(_, media):
        source = media.get_element().get_by_name_recurse_up("source")
        caps = f"video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate={FPS}/1"
        source.set_property("caps", Gst.Caps.from_string(caps))
        source.connect("need-data", push)

    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit("the port is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
