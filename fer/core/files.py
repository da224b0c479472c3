"""Reading a text file; writing a file whole or not at all."""

import hashlib
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fer.core.errors import FerError


@contextmanager
def replacing(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary name beside `path` to write to; renamed to it when the block ends well, removed when it does not.

    Args:
        path: the file to be; its folders are made as needed.
        durable: wait until the disk has it, or a power cut may leave the name with nothing in it.

    Raises:
        FerError: the folder or the file cannot be written.
    """
    path = Path(path)
    # Containers of several machines may share a folder, and have the same process numbers.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise FerError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # it is gone after a good end; in a folder that is none, it never was
            temporary.unlink()


class _Tried(Exception):
    pass


def check_writable(path: str | Path, suffix: str | None = None) -> None:
    """Tries to write beside `path`, so that hours of work do not end with a file that cannot be kept.

    Raises:
        FerError: the folder or the file cannot be written, or its name does not end in `suffix`.
    """
    if suffix and Path(path).suffix.lower() != suffix:
        raise FerError(f"{path}: the name must end in {suffix}")
    if os.path.isdir(path):
        raise FerError(f"{path}: cannot be written: it is a folder")
    with suppress(_Tried), replacing(path) as temporary:
        temporary.touch()
        raise _Tried


def check_folder(path: str | Path) -> None:
    """Refuses a folder to write to that is a file, or that cannot be written.

    Raises:
        FerError: it is a file, or no file can be made in it.
    """
    if os.path.isfile(path):
        raise FerError(f"{path}: is a file, not a folder")
    if os.path.isdir(path):
        check_writable(Path(path, ".x"))
    else:
        check_writable(path)


@contextmanager
def exclusive(folder: str | Path) -> Iterator[None]:
    """Keeps other processes of this function out of a folder, made as needed; the system forgets it with the process.

    Windows and some network file systems cannot lock a folder: there nothing is kept out.

    Raises:
        FerError: another process is in it, or it cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    made = not os.path.isdir(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FerError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FerError(f"{folder}: another process is at work here; wait for it, or stop it") from error
        yield
    finally:
        os.close(descriptor)
        if made:
            with suppress(OSError):  # what came in stays
                os.rmdir(folder)


def check_no_input(outputs: Iterable[str | Path], inputs: Iterable[str | Path | None]) -> None:
    """Refuses to write over what the command reads.

    Raises:
        FerError: an output is one of the inputs.
    """
    read = {os.path.realpath(path): path for path in inputs if path}
    for path in outputs:
        if os.path.realpath(path) in read:
            raise FerError(f"{path}: the command reads this file; choose another output")


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, a byte-order mark left out.

    Raises:
        FerError: the file cannot be opened, or is not UTF-8 text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FerError(f"{path}: cannot be opened ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise FerError(f"{path}: not a text file ({error})") from error


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text and a closing line break.

    What is not UTF-8, as a file name may be, is escaped: in JSON it is read back as it was.
    """
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def cache_folder() -> Path:
    """The folder of what is made or fetched once: $FER_CACHE, or "fer" in the user's cache folder of the system.

    Raises:
        FerError: the system names no folder of the user.
    """
    if folder := os.environ.get("FER_CACHE"):
        return Path(folder)
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home(), "fer")
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "fer"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fer"
    except RuntimeError as error:  # a container's user without a home
        raise FerError(f"no cache folder: {error}; FER_CACHE names one") from error


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
        FerError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FerError(f"{path}: cannot be opened ({error.strerror or error})") from error
