"""Fetches the networks of detectors once, into a cache, and checks them by their SHA-256."""

import hashlib
import http.client
import logging
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fer.core.errors import FerError
from fer.core.files import cache_folder, replacing

logger = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds without a byte
MAX_BYTES = 64 * 2**20  # of a file


@dataclass(frozen=True)
class ModelFile:
    """A file on the network.

    Attributes:
        name: of the file in the cache.
        url: where it is fetched.
        sha256: of its bytes, in hexadecimal digits.
        licence: of the file.
    """

    name: str
    url: str
    sha256: str
    licence: str


def cached(file: ModelFile) -> Path | None:
    """The file in the cache; None if it is absent or its SHA-256 is wrong."""
    path = cache_folder() / file.name
    try:
        return path if hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256 else None
    except OSError:
        return None


def fetch(file: ModelFile) -> Path:
    """The file in the cache, fetched if it is not there.

    Raises:
        FerError: it cannot be fetched or written, or the bytes are not the expected ones.
    """
    if path := cached(file):
        return path
    path = cache_folder() / file.name
    advice = "fetch it by hand and name it with --detector-model"
    logger.info("fetching %s (%s licence) from %s", file.name, file.licence, file.url)
    try:
        with urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer:
            data = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:  # URLError and the time limit are OSErrors
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise FerError(f"{file.url}: cannot be fetched ({reason}); {advice}") from error
    if len(data) < (size := int(answer.headers.get("Content-Length") or 0)):
        raise FerError(f"{file.url}: cut short after {len(data):,} of {size:,} bytes; try again, or {advice}")
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise FerError(f"{file.url}: another file than expected (SHA-256 {found}, not {file.sha256}); {advice}")
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path
