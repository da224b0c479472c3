"""A folder for clients' files that is gone when the server is."""

import shutil
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there a folder that a killed server left behind stays until somebody empties Temp
    fcntl = None  # type: ignore[assignment]

PREFIX, LOCK = "fer-page-", "lock"


class PrivateFolder:
    """A temporary folder for this user alone, with a lock in it.

    Making one removes the folders that killed servers left behind: nobody holds their locks any more.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            self._remove_if_free(left)
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)  # removed at exit at last
        self.path = Path(self._folder.name)
        self._lock = (self.path / LOCK).open("w")
        if fcntl:
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _remove_if_free(self, left: Path) -> None:
        try:
            with (left / LOCK).open("r+") as lock:
                if fcntl:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
        except OSError:  # held, another user's, or just being made
            pass

    def close(self) -> None:
        """Removes the folder and all in it."""
        self._lock.close()
        self._folder.cleanup()
