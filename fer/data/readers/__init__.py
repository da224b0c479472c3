"""Readers of the forms in which data sets lie on disk, one class each; docs/data.md has a table of them.

A new form is a sub-class of `Reader` and an entry here: before those whose marks it shares.
"""

from fer.core.errors import FerError
from fer.data.listing import Reader
from fer.data.readers.affectnet import AffectNetArrays, AffectNetTables, Yolo
from fer.data.readers.class_folders import ClassFolders
from fer.data.readers.ferplus import FerPlusFolders
from fer.data.readers.laboratory import CkPlus, ExpW, Jaffe, Kdef
from fer.data.readers.parquet import Parquet
from fer.data.readers.pixel_tables import ExtendedCk, PixelTable
from fer.data.readers.raf_db import RafDb
from fer.data.readers.table import TableOfFiles
from fer.data.walk import Tree

_KINDS: tuple[type[Reader], ...] = (
    *(ExtendedCk, PixelTable, Parquet, FerPlusFolders, RafDb, AffectNetTables, AffectNetArrays, Yolo, CkPlus),
    *(Jaffe, Kdef, ExpW, TableOfFiles, ClassFolders),
)
ARCHIVES = ("*.zip", "*.tar", "*.gz", "*.tgz", "*.xz", "*.bz2", "*.rar", "*.7z")
READERS = {kind.name: kind for kind in _KINDS}


def find_reader(tree: Tree, name: str | None = None) -> Reader:
    """The reader of that name, or the first that recognises the files.

    Raises:
        FerError: an unknown name, or files that no reader understands.
    """
    if name is not None:
        if name not in READERS:
            raise FerError(f"--format must be one of {', '.join(READERS)}, not {name!r}")
        return READERS[name]()
    reader = next((reader for reader in (kind() for kind in _KINDS) if reader.recognises(tree)), None)
    if reader is None:
        found = ", ".join(tree.others[:3]) or "an empty folder"
        packed = "unpack the archive first; " if tree.named(*ARCHIVES) else ""
        raise FerError(f"{tree.root}: no images and no table of images ({found}); {packed}docs/data.md lists the forms")
    return reader
