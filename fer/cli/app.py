"""Serve the web page: webcam, network cameras, images and videos in the browser, and an HTTP API.

    python app.py
    python app.py --camera door=rtsp://10.0.0.7/live --camera lobby=0

Then open http://127.0.0.1:7860. Programs post an image to /predict; /docs describes it. Ctrl-C ends the server.
"""

import argparse
import logging
import re
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from fer.cli import common
from fer.core.errors import FerError
from fer.models.classifier import Classifier
from fer.models.model_file import read_info
from fer.web.limits import add_limit_arguments, limits_from

logger = logging.getLogger(__name__)


def parse_args(argv=None):
    parser = common.parser(__doc__)
    common.add_recognition_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 serves the whole network (127.0.0.1)")
    parser.add_argument("--port", type=common.at_least(int, 0), default=7860, help="0 takes a free one (7860)")
    parser.add_argument("--camera", action="append", default=[], metavar="NAME=URL", help="a camera to show (repeat)")
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="answer to this host name too (repeat)"
    )
    parser.add_argument("--name", action="append", dest="allowed_host", help=argparse.SUPPRESS)  # the old name
    parser.add_argument("--certificate", metavar="PEM", help="serve https: browsers give webcams to no other hosts")
    parser.add_argument("--key", metavar="PEM", help="the certificate's private key, if it is in a file of its own")
    add_limit_arguments(parser)
    return parser.parse_args(argv)


def main(args):
    try:
        import uvicorn

        from fer.inference.detectors import create_detector
        from fer.web import security, server
    except ModuleNotFoundError as error:
        raise FerError(f"the page needs {error.name}: pip install -r requirements-app.txt") from error

    read_info(args.model)  # a bad file shows at once
    cameras = dict(map(parse_camera, args.camera))
    limits = limits_from(args)
    handle_signals()
    with listen(args.host, args.port) as place:
        with common.quiet():
            model = Classifier.load(args.model)
            create_detector(args.detector, args.detector_model)  # one that is not installed shows now
        application = server.create_app(
            model,
            Path(args.model).stem,
            lambda: create_detector(args.detector, args.detector_model),
            auto=args.detector == "auto",
            cameras=cameras,
            hosts=security.LOOPBACK
            | {name.lower() for name in (*args.allowed_host, socket.gethostname(), socket.getfqdn())},
            limits=limits,
        )
        config = server.uvicorn_config(application, limits, certificate=args.certificate, key=args.key)
        host = f"[{args.host}]" if ":" in args.host else args.host
        print(f"{args.model}: {', '.join(model.labels)}")
        page = uvicorn.Server(config)
        # From here on signals set a flag: an exception in the midst of an import, uvicorn's last ones, could get lost.
        with suppress(KeyboardInterrupt), page.capture_signals():  # which passes them on once all is closed
            print(f"{'https' if args.certificate else 'http'}://{host}:{place.getsockname()[1]}/", flush=True)
            if args.host not in security.LOOPBACK:
                logger.warning("everyone who reaches this address can use the page")
            page.run(sockets=[place])
    return 0


def handle_signals():
    """Makes SIGTERM an ordinary end of Python, before and after uvicorn handles it, and a closed terminal the same."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def parse_camera(text):
    """("door", "http://10.0.0.7/live") for "door=http://10.0.0.7/live"."""
    from fer.video.capture import without_secrets
    from fer.video.sources import SCHEMES

    name, _, address = text.partition("=")
    if re.fullmatch(r"[\w -]{1,40}", name) and (address.isdecimal() or address.lower().startswith(SCHEMES)):
        return name, address
    expected = f"NAME=URL, the name of letters, digits, spaces, - and _; the URL with {', '.join(SCHEMES)}, or a number"
    raise FerError(f"--camera {without_secrets(text)}: expected {expected}")


def listen(host, port):
    """A socket that listens; a port that is taken shows before the model is loaded."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FerError(f"{host}:{port} cannot be served ({reason}); choose another --host or --port") from error
