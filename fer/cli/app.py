"""Serve the web page: webcam, network cameras, images and videos in the browser, and an HTTP API.

    python app.py
    python app.py --host 0.0.0.0 --token-file token.txt --camera door=rtsp://10.0.0.7/live --camera lobby=0

Then open http://127.0.0.1:7860. Programs post an image to /predict; /docs describes it. Ctrl-C ends the server.
"""

import argparse
import ctypes
import ipaddress
import logging
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from fer.cli.arguments import add_recognition_arguments, at_least, model_path, parser
from fer.cli.terminal import quiet
from fer.core.errors import FerError
from fer.core.files import read_text
from fer.models.bundled import BEST
from fer.models.classifier import Classifier
from fer.models.model_file import original, read_info
from fer.web.limits import add_limit_arguments, limits_from

logger = logging.getLogger(__name__)

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
LARGE_BUFFER = 2**20  # bytes


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of the command line; each limit of the server is a flag as well."""
    page = parser(__doc__)
    # At the start the server takes 0.2 GB with the int8 model, and 0.8 GB with the Keras model.
    add_recognition_arguments(page, model=f"{BEST}.tflite" if find_spec("ai_edge_litert") else BEST)
    page.add_argument(
        "--compare-model", type=model_path, metavar="MODEL", help="a second model that labels images too, side by side"
    )
    page.add_argument("--camera", action="append", default=[], metavar="NAME=URL|N", help="show a camera (repeatable)")
    group = page.add_argument_group("network")
    group.add_argument("--host", default="127.0.0.1", help="0.0.0.0 serves the whole network (127.0.0.1)")
    group.add_argument("--port", type=at_least(int, 0), default=7860, help="0 takes a free one (7860)")
    group.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="answer to this host name too (repeatable)"
    )
    group.add_argument("--name", action="append", dest="allowed_host", help=argparse.SUPPRESS)  # the old name
    group.add_argument("--certificate", metavar="PEM", help="serve https; webcams of other computers need it")
    group.add_argument("--key", metavar="PEM", help="the certificate's private key, if it is in a file of its own")
    token = group.add_mutually_exclusive_group()
    token.add_argument("--token", metavar="TEXT", help="require this token (visible in ps; prefer --token-file)")
    token.add_argument("--token-file", metavar="FILE", help="the same, read from a file")
    group.add_argument(
        "--trusted-proxy",
        action="append",
        type=_network,
        default=[],
        metavar="ADDRESS",
        help="address or network of a proxy whose X-Forwarded-For names the client (repeatable)",
    )
    group = page.add_argument_group("records")
    group.add_argument(
        "--collect", metavar="DIR", help="let clients correct labels, and keep those faces (nothing kept)"
    )
    page.add_argument("--strings", metavar="FILE", help="a translation of fer/web/static/strings.json (English)")
    group.add_argument("--access-log", metavar="FILE", help="a line of JSON for every response (no log)")
    group.add_argument("--metrics", action="store_true", help="serve /metrics for Prometheus; needs prometheus-client")
    add_limit_arguments(page)
    return page.parse_args(argv)


def check_certificate(certificate: str | None, key: str | None) -> None:
    """Loads the certificate once, before the model: uvicorn would fail later and with a traceback.

    Raises:
        FerError: a file is missing, is no certificate or key, or the two do not belong together.
    """
    if key and not certificate:
        raise FerError("--key needs --certificate")
    if certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror or str(error)
            raise FerError(f"{certificate}: the certificate or its key cannot be loaded ({reason})") from error


def main(args: argparse.Namespace) -> int:
    """Serves the page until a signal ends it."""
    try:
        from fer.inference.recognizer import Recognizer
        from fer.web import security, server
    except ModuleNotFoundError as error:
        raise FerError(f"the page needs {error.name}: pip install -r requirements-app.txt") from error

    paths = [path for path in (args.model, args.compare_model) if path]
    below = [read_info(path).metadata.get("uncertain_below") for path in paths]  # a bad file shows at once
    cameras = dict(map(parse_camera, args.camera))
    if len(cameras) < len(args.camera):
        raise FerError("two cameras have one name: give each --camera a name of its own")
    limits = limits_from(args)
    token = read_token(args)
    check_certificate(args.certificate, args.key)
    handle_signals()
    return_large_buffers()
    with listen(args.host, args.port) as place:
        with quiet():
            models = [Classifier.load(path) for path in paths]
        how = {"detector_model": args.detector_model, "uncertain_below": below[0]}
        name, *others = model_names(paths)
        beside = original(args.model)  # an exported model cannot be explained, its .keras file can
        app = server.create_app(
            lambda detectors: Recognizer.create(models[0], args.detector, detectors=detectors, **how),
            name,
            compared=(others[0], Recognizer.create(models[1], "none", uncertain_below=below[1])) if others else None,
            load_explainer=None if beside is None else lambda: Classifier.load(beside),
            cameras=cameras,
            hosts=security.LOOPBACK | {name.lower() for name in (*args.allowed_host, args.host, *own_names())},
            limits=limits,
            token=token,
            collect=args.collect and Path(args.collect),
            metrics=args.metrics,
            access_log=args.access_log and Path(args.access_log),
            strings=args.strings and Path(args.strings),
        )
        for path, model in zip(paths, models, strict=True):
            print(f"{path}: {', '.join(model.labels)}")
        with decoders_silenced():
            serve(args, app, limits, place)
    return 0


def serve(args, app, limits, place) -> None:
    """Runs uvicorn on a socket until a signal ends it."""
    from fer.web import protocol, security, server

    config = server.uvicorn_config(
        app, limits, certificate=args.certificate, key=args.key, proxies=tuple(args.trusted_proxy)
    )
    page = server.PageServer(config, app, limits)
    host = f"[{args.host}]" if ":" in args.host else args.host
    # From here on signals set a flag: an exception in the midst of an import, uvicorn's last ones, could get lost.
    with suppress(KeyboardInterrupt), page.capture_signals():  # which passes them on once all is closed
        print(f"{'https' if args.certificate else 'http'}://{host}:{place.getsockname()[1]}/", flush=True)
        if args.host not in security.LOOPBACK:
            if args.token is None and args.token_file is None:
                logger.warning("everyone who reaches this address can use the page; --token-file asks for a token")
            elif not args.certificate and not args.trusted_proxy:
                logger.warning("token and images travel unencrypted; --certificate, or a proxy with TLS, encrypts them")
        page.run(sockets=[protocol.Listener(place, limits, tuple(args.trusted_proxy))])


def model_names(paths: list[str]) -> list[str]:
    """The models as clients see them: the names of their files, with the suffix where it alone tells them apart."""
    stems = [Path(path).stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [Path(path).name for path in paths]


def own_names() -> tuple[str, str]:
    """The names of this machine."""
    return socket.gethostname(), socket.getfqdn()


def read_token(args: argparse.Namespace) -> str | None:
    """The token of --token or --token-file; raises FerError for a file that cannot be read, or an empty one."""
    if args.token_file is None:
        return args.token
    text = read_text(args.token_file).strip()
    if not text or "\n" in text:
        raise FerError(f"{args.token_file}: expected one line, the token")
    return text


def return_large_buffers() -> None:
    """Makes glibc give the memory of large images back to the system.

    By itself it raises the size from which it does so, up to 32 MB, and keeps what is smaller: after 40 large images
    the server held 332 MB in place of 267 MB.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER)


def handle_signals() -> None:
    """Makes SIGTERM an ordinary end of Python, before and after uvicorn handles it, and a closed terminal the same."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def parse_camera(text: str) -> tuple[str, str]:
    """("door", "http://10.0.0.7/live") for "door=http://10.0.0.7/live"; raises FerError for anything else."""
    from fer.video.capture import without_secrets
    from fer.video.sources import MAX_CAMERA, SCHEMES, is_camera

    name, _, address = text.partition("=")
    if re.fullmatch(r"[\w -]{1,40}", name) and is_camera(address):
        return name, address
    urls = f"the URL with {', '.join(SCHEMES)}, or a number from 0 to {MAX_CAMERA}"
    expected = f"NAME=URL, the name of letters, digits, spaces, - and _; {urls}"
    raise FerError(f"--camera {without_secrets(text)}: expected {expected}")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; a port that is taken shows before the model is loaded."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FerError(f"{host}:{port} cannot be served ({reason}); choose another --host or --port") from error


@contextmanager
def decoders_silenced() -> Iterator[None]:
    """Keeps what libpng and libjpeg write about clients' files off the terminal; Python's own stderr is not changed.

    The libraries write to file descriptor 2. While the block runs it leads nowhere, and `sys.stderr` to a copy.
    """
    sys.stderr.flush()
    before, kept = sys.stderr, os.dup(2)
    with (
        open(kept, "w", buffering=1, errors="backslashreplace") as stream,
        open(os.devnull, "w") as null,
    ):
        os.dup2(null.fileno(), 2)
        sys.stderr = stream
        try:
            yield
        finally:
            sys.stderr = before
            os.dup2(kept, 2)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text)


_network.__name__ = "address"  # argparse names it where the text is none
