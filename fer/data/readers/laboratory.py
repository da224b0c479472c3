"""Sets recorded in a laboratory, each subject many times: CK+, JAFFE, KDEF, Oulu-CASIA; and ExpW's list of faces."""

import re
from pathlib import PurePosixPath

from fer.core.errors import FerError
from fer.core.files import read_text
from fer.core.labels import canonical, is_emotion
from fer.data.coding import CODINGS, LETTERS, plain
from fer.data.entry import Entry
from fer.data.listing import ALL, MOST, Crop, Listing, Options, Reader
from fer.data.readers.table import FileIndex, take_splits_of_folders
from fer.data.walk import Tree

PEAKS = 3  # the last frames of a sequence of CK+, which show the expression fully

# Subjects in file names: CK+48 S010_004_00000017, JAFFE KA.AN1.39, KDEF AF01ANS (sessions A and B are one subject), and
# what says so by a word: subject03_12, video7_frame0001.
SUBJECT_NAMES = (
    re.compile(r"(S\d{2,3})_\d{3}_\d{8}.*", re.IGNORECASE),
    re.compile(r"([A-Z]{2})[.\-](?:AN|DI|FE|HA|NE|SA|SU)\d?[.\-]\d+", re.IGNORECASE),
    re.compile(r"[AB]([FM]\d{2})(?:AN|AF|DI|HA|NE|SA|SU)(?:S|HL|HR|FL|FR)", re.IGNORECASE),
    re.compile(r"((?:subj(?:ect)?|person|actor|participant|user|video|clip)[\s._-]?\d+)[\s._-].*", re.IGNORECASE),
)


def subjects_of(paths: list[str]) -> list[str]:
    """The subjects that file names tell, "" for a stray file; empty where most follow no known pattern."""
    stems = [PurePosixPath(path).stem for path in paths]
    for pattern in SUBJECT_NAMES:
        found = [pattern.fullmatch(stem) for stem in stems]
        if sum(map(bool, found)) > MOST * len(stems):
            return [match[1].upper() if match else "" for match in found]
    return []


class CkPlus(Reader):
    """CK+: cohn-kanade-images/S005/001/*.png and Emotion/S005/001/*_emotion.txt."""

    name = "ck+"

    def recognises(self, tree: Tree) -> bool:
        return bool(tree.images) and any(path.endswith("_emotion.txt") for path in tree.others)

    def read(self, tree: Tree, options: Options) -> Listing:
        listing = Listing(tree.root, coding=CODINGS["ck+"])
        frames: dict[tuple[str, ...], list[str]] = {}
        for path in sorted(tree.images):
            frames.setdefault(PurePosixPath(path).parts[-3:-1], []).append(path)
        labelled = set()
        for path in (path for path in tree.others if path.endswith("_emotion.txt")):
            sequence = PurePosixPath(path).parts[-3:-1]
            text = read_text(tree.root / path).strip()
            if plain(text) not in CODINGS["ck+"]:
                raise FerError(f"{tree.root / path}: expected a number from 0 to 7, not {text!r}")
            if sequence not in frames:
                listing.skipped.append(("", path, "no images of this sequence"))
                continue
            labelled.add(sequence)
            for frame in frames[sequence][-PEAKS:]:
                listing.add_file(tree, frame, text, ALL, sequence[0])
        if not listing.entries:
            raise FerError(f"{tree.root}: no *_emotion.txt belongs to a folder of images such as S005/001")
        listing.notes.append(f"only the last {PEAKS} frames of {len(labelled):,} labelled sequences are used")
        if rest := len(frames) - len(labelled):
            listing.notes.append(f"not used: {rest:,} sequences without a label")
        listing.unused(path for path in tree.others if not re.search(r"_(emotion|landmarks|facs)\.txt$", path))
        return listing


class CodedNames(Reader):
    """Files whose names say subject and expression."""

    pattern: re.Pattern

    def recognises(self, tree: Tree) -> bool:
        named = sum(map(bool, map(self._match, tree.images)))
        sorted_out = sum(any(map(is_emotion, PurePosixPath(path).parts[:-1])) for path in tree.images)
        return named > MOST * len(tree.images) and sorted_out < len(tree.images) / 2  # else these are class folders

    def _match(self, path: str) -> re.Match | None:
        return self.pattern.fullmatch(PurePosixPath(path).name)

    def read(self, tree: Tree, options: Options) -> Listing:
        listing = Listing(tree.root, coding=LETTERS)
        for path in tree.images:
            if match := self._match(path):
                listing.add_file(tree, path, match["expression"], ALL, match["subject"].upper())
                expression = canonical(LETTERS[plain(match["expression"])])
                if any(is_emotion(part) and canonical(part) != expression for part in PurePosixPath(path).parts[:-1]):
                    raise FerError(f"{tree.root / path}: its name says {expression}, and it lies in another folder")
            else:
                listing.skipped.append(("", path, f"not a file name of {self.name}"))
        if not listing.entries:
            raise FerError(f"{tree.root}: no file names as {self.name} has them")
        take_splits_of_folders(listing)
        listing.unused(tree.others)
        return listing


class Jaffe(CodedNames):
    """JAFFE: KA.AN1.39.tiff."""

    name = "jaffe"
    pattern = re.compile(
        r"(?P<subject>[A-Z]{2})[.\-](?P<expression>AN|DI|FE|HA|NE|SA|SU)\d?[.\-]\d+\.\w+", re.IGNORECASE
    )


class Kdef(CodedNames):
    """KDEF: AF01ANS.JPG."""

    name = "kdef"
    pattern = re.compile(
        r"[AB](?P<subject>[FM]\d{2})(?P<expression>AN|AF|DI|HA|NE|SA|SU)(?:S|HL|HR|FL|FR)\.\w+", re.IGNORECASE
    )


class ExpW(Reader):
    """ExpW: label.lst with name, face, top, left, right, bottom, confidence, label; several faces an image."""

    name = "expw"

    def recognises(self, tree: Tree) -> bool:
        return bool(tree.images) and bool(tree.named("label.lst"))

    def read(self, tree: Tree, options: Options) -> Listing:
        if not (lists := tree.named("label.lst")):
            raise FerError(f"{tree.root}: no label.lst")
        path, index = tree.root / lists[0], FileIndex(tree.images)
        listing, used = Listing(tree.root, coding=CODINGS["fer2013"]), set()
        sources: list[Crop] = []
        for number, line in enumerate(read_text(path).splitlines(), 1):
            cells = line.split()
            if not cells:
                continue
            if len(cells) != 8 or plain(cells[7]) not in CODINGS["fer2013"]:
                raise FerError(f"{path}, line {number}: expected name, face, four edges, confidence, label 0 to 6")
            name, face, *rest = cells
            try:
                top, left, right, bottom = (int(cell) for cell in rest[:4])
                key = int(face)
            except ValueError as error:
                raise FerError(f"{path}, line {number}: edges and face must be integers") from error
            file = index.find(name)
            if file is None:
                listing.skipped.append(("", f"{name} row {face}", "no such image"))
                continue
            used.add(file)
            listing.entries.append(Entry(file, key))
            sources.append(Crop(str(tree.root / file), (left, top, right, bottom)))
            listing.names.append(rest[5])
            listing.splits.append(ALL)
        if not sources:
            raise FerError(f"{path}: none of its names is an image in {tree.root}")
        listing.sources = sources
        listing.groups = [entry.path for entry in listing.entries]  # faces of one photograph stay together
        listing.unused([file for file in tree.images if file not in used], "no row names them")
        listing.unused(file for file in tree.others if file != lists[0])
        return listing
