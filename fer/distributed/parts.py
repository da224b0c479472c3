"""Result rows as a folder of Parquet files, the columns of `results`: a part for each unit of work.

A part is named by what it holds and appears whole or not at all, so a unit that is done twice gives one part.
`pandas.read_parquet(FOLDER)` reads them all.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from fer.core.errors import FerError, first_line
from fer.core.files import replacing
from fer.inference import results
from fer.inference.recognizer import UNCERTAIN

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
DIGITS = 20  # of the hash in a name
PART = f"part-{'[0-9a-f]' * DIGITS}{SUFFIX}"  # Spark's parts are called part-00000-...
GROUP = 16_384  # rows in memory, and in a row group
KEY = b"fer"  # of the counts in the footer of a part
TYPES = {"source": "string", "status": "string", "label": "string", "seconds": "float64", "confidence": "float64"}


@dataclass
class Counts:
    """What a part holds, or a folder of parts.

    Attributes:
        images: number of images by status, see `results.STATUSES`.
        frames: number of frames of videos by status.
        videos: number of videos.
        table: images by (folder named like a label, predicted label), see `batch.count_row`.
    """

    images: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    videos: int = 0
    table: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def sources(self) -> int:
        """Number of images and videos."""
        return self.images.total() + self.videos

    def add(self, other: "Counts") -> None:
        """Adds the counts of another part."""
        self.images += other.images
        self.frames += other.frames
        self.videos += other.videos
        self.table += other.table

    def to_json(self) -> str:
        """The counts as the metadata of a part hold them."""
        table = [[*key, count] for key, count in self.table.items()]
        return json.dumps({"images": self.images, "frames": self.frames, "videos": self.videos, "table": table})

    @classmethod
    def from_json(cls, text: bytes) -> "Counts":
        """Reads what `to_json` wrote."""
        known = json.loads(text)
        table = Counter({(row, column): count for row, column, count in known["table"]})
        return cls(Counter(known["images"]), Counter(known["frames"]), known["videos"], table)


def schema(labels: Iterable[str], *, uncertain: bool) -> "pyarrow.Schema":
    """The columns of `results.Writer` with their types: text, float64 for shares and seconds, int64, bool."""
    import pyarrow

    columns = {name: TYPES.get(name, "int64") for name in results.COLUMNS}
    columns |= {UNCERTAIN: "bool"} if uncertain else {}
    columns |= dict.fromkeys(labels, "float64")
    return pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in columns.items()])


def part_name(names: Iterable[str]) -> str:
    """The name of the part that holds the rows of these files."""
    digest = hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
    return f"part-{digest[:DIGITS]}{SUFFIX}"


def write(path: Path, rows: Iterable[dict], columns: "pyarrow.Schema", counts: Counts) -> None:
    """Writes a part, whole or not at all; a part of the same name is replaced.

    Args:
        path: folder and `part_name`.
        rows: see `results.rows`; taken a few thousand at a time.
        columns: see `schema`.
        counts: of these rows; may grow while they are taken.

    Raises:
        FerError: it cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    rows = iter(rows)
    # Waiting for the disk would cost more than the rows; a part that a power cut leaves empty is named by `count`.
    with replacing(path, durable=False) as temporary, parquet.ParquetWriter(temporary, columns) as writer:
        while group := list(islice(rows, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, columns))
        writer.add_key_value_metadata({KEY: counts.to_json()})


def list_parts(folder: str | Path) -> list[Path]:
    """The parts of a folder, by name; none where there is no such folder."""
    return sorted(Path(folder).glob(PART))


def count(folder: str | Path) -> Counts:
    """What the parts of a folder hold, read from their footers.

    Raises:
        FerError: a file is no part.
    """
    from pyarrow import parquet

    total = Counts()
    for path in list_parts(folder):
        with _readable(path):
            total.add(Counts.from_json(parquet.read_metadata(path).metadata[KEY]))
    return total


def read(folder: str | Path) -> Iterator[dict]:
    """The rows of all parts, one by one, as `results.rows` gives them with None where there is no value."""
    from pyarrow import parquet

    for path in list_parts(folder):
        with _readable(path), parquet.ParquetFile(path) as file:
            for group in file.iter_batches(GROUP):
                yield from group.to_pylist()


def sources(folder: str | Path, columns: "pyarrow.Schema") -> set[str]:
    """The `source` of all rows of a folder.

    Raises:
        FerError: a file is no part, or has other columns.
    """
    from pyarrow import parquet

    found: set[str] = set()
    for path in list_parts(folder):
        with _readable(path), parquet.ParquetFile(path) as file:
            if not file.schema_arrow.equals(columns):
                raise FerError(f"{path}: it does not have this model's columns; choose another --output")
            for group in file.iter_batches(GROUP, columns=["source"]):
                found.update(group["source"].unique().to_pylist())
    return found


def remove(folder: str | Path, *, parts: bool) -> None:
    """Removes the unfinished files that killed workers left in a folder, and with `parts` the parts as well."""
    for path in [*Path(folder).glob(f".*-{PART}"), *(list_parts(folder) if parts else [])]:
        with suppress(FileNotFoundError):
            os.unlink(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException, KeyError, TypeError, ValueError) as error:
        begin = "remove it, or start again with --overwrite"
        raise FerError(f"{path}: not a part of these results ({first_line(error)}); {begin}") from error
