"""Lists the files of a folder without opening an image: those of a data set, or simply all images.

Links to folders are followed; one that leads back to a folder above it is reported instead.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fer.core.errors import FerError
from fer.core.images import is_image_file

Problem = Callable[[str, str], None]  # takes a path and what is wrong with it

OF_TOOLS = ("__MACOSX", "__pycache__")  # the first is what unzipping on a Mac leaves behind
NOT_OPENED = frozenset({".txt", ".csv", ".npy", ".json", ".xml", ".parquet"})  # labels: AffectNet has a million of them


@dataclass(frozen=True)
class Tree:
    """The files of a data set; paths are relative to `root`, with forward slashes, in the order of `walk`.

    Attributes:
        root: a folder, or the single file that is all there is.
        images: files that hold an image.
        others: all other files.
        folders: all folders.
        problems: (path, reason) of hidden folders, circular links and folders that cannot be read.
    """

    root: Path
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path) -> "Tree":
        """Lists a folder or a file.

        Raises:
            FerError: there is no such file or folder, or it cannot be read.
        """
        if not root.exists():
            raise FerError(f"{root}: there is no such file or folder")
        if not root.is_dir():
            if is_image_file(root):
                raise FerError(f"{root}: a single image is no data set; expected a folder or a table")
            return cls(root.parent, others=[root.name])
        tree = cls(root)

        def relative(path: str | Path) -> str:
            return Path(path).relative_to(root).as_posix()

        def problem(path: str, reason: str) -> None:
            tree.problems.append((relative(path), reason))

        for path, is_folder in walk(root, problem):
            if is_folder:
                tree.folders.append(relative(path))
            else:
                (tree.images if _is_image(path) else tree.others).append(relative(path))
        return tree

    def named(self, *names: str) -> list[str]:
        """Other files with one of these names, in any case; "*.csv" takes all of a suffix."""
        wanted = [name.lower() for name in names]
        return [
            path
            for path in self.others
            if (name := path.rpartition("/")[2].lower()) in wanted
            or any(one.startswith("*.") and name.endswith(one[1:]) for one in wanted)
        ]


def walk(root: Path, problem: Problem) -> Iterator[tuple[Path, bool]]:
    """Files and folders below `root`, one folder at a time: first its files by name, then its folders by name.

    Args:
        root: a folder.
        problem: takes the path and the reason of what is not listed.

    Yields:
        The path, and whether it is a folder.

    Raises:
        FerError: `root` cannot be read.
    """
    waiting: list[tuple[Path, tuple[str, ...]]] = [(root, (os.path.realpath(root),))]
    while waiting:
        folder, above = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise FerError(f"{folder}: cannot be read ({error.strerror})") from error
            problem(str(folder), f"cannot be read ({error.strerror})")
            continue
        inside: list[tuple[Path, tuple[str, ...]]] = []
        for entry in entries:
            path = Path(entry.path)
            # os.path.isdir, as it takes a link into a closed folder for a file, where others raise.
            if not os.path.isdir(entry):
                yield path, False
            elif entry.name.startswith(".") or entry.name in OF_TOOLS:
                problem(entry.path, "a hidden folder")
            elif entry.is_symlink() and os.path.realpath(entry) in above:
                problem(entry.path, "a link to a folder above it")
            else:
                yield path, True
                real = os.path.realpath(entry) if entry.is_symlink() else os.path.join(above[-1], entry.name)
                inside.append((path, (*above, real)))
        waiting += reversed(inside)


def _is_image(path: Path) -> bool:
    if path.name.startswith(".") or path.suffix.lower() in NOT_OPENED:
        return False
    return is_image_file(path)


def find_images(
    folder: str | Path, *, on_error: Callable[[str], None], on_other: Callable[[Path], None] = lambda path: None
) -> Iterator[Path]:
    """Image files below `folder` at any depth, one at a time; of each folder first its files by name, then its
    folders by name. Hidden files and folders are left out.

    Args:
        folder: or a single file, which is all there is then, whatever its name.
        on_error: takes one line for each folder that cannot be read, or is a link to a folder above it.
        on_other: takes each visible file that is no image, neither by its name nor by its content.

    Raises:
        FerError: there is no such file or folder, or it cannot be read; before the first image is asked for.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FerError(f"{folder}: no such file or folder")
    if not folder.is_dir():
        return iter([folder])
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise FerError(f"{folder}: cannot be read ({error.strerror})") from error

    def problem(path: str, reason: str) -> None:
        if reason != "a hidden folder":
            on_error(f"{path}: {reason}")

    return _images(folder, problem, on_other)


def _images(folder: Path, problem: Problem, on_other: Callable[[Path], None]) -> Iterator[Path]:
    for path, is_folder in walk(folder, problem):
        if is_folder or path.name.startswith("."):
            continue
        if is_image_file(path):
            yield path
        else:
            on_other(path)
