"""Class folders in any arrangement: SPLIT/CLASS, CLASS/SPLIT, CLASS, SUBJECT/CLASS, one or several folders deeper."""

from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

from fer.core.errors import FerError
from fer.core.labels import canonical, is_emotion
from fer.data.listing import ALL, MOST, Listing, Options, Reader
from fer.data.readers import subjects
from fer.data.readers.table import label_hint
from fer.data.splits import PREFIXES, split_of
from fer.data.walk import Tree

NOT_IN_A_CLASS, NO_IMAGES = "not in a class folder", "a class without images"


class ClassFolders(Reader):
    """Images in folders named like emotions, with or without folders of splits."""

    name = "class-folders"

    def __init__(self, is_class: Callable[[str], bool] = is_emotion):
        self.is_class = is_class

    def recognises(self, tree: Tree) -> bool:
        return bool(tree.images)

    def read(self, tree: Tree, options: Options) -> Listing:
        folders = {path: PurePosixPath(path).parts[:-1] for path in tree.images}
        at_split = _level(folders.values(), lambda part: split_of(part) is not None and not self.is_class(part))
        splits = {}
        for path, parts in folders.items():
            split = split_of(parts[at_split]) if at_split is not None and at_split < len(parts) else None
            if split or at_split is None:
                splits[path] = split or ALL
        if len(splits) < len(folders) / 2:  # one of several subjects, Dev, is no validation split
            named = "/".join(folders[next(iter(splits))][: (at_split or 0) + 1])
            raise FerError(
                f"{tree.root}: {named}/ would be the {splits[next(iter(splits))]} split, but {len(splits):,} of "
                f"{len(folders):,} images lie in folders of splits; rename it"
            )
        at_class = self._class_level(tree, {path: folders[path] for path in splits}, at_split)
        listing = Listing(tree.root)
        inside, used = set(), []  # class folders; the folders of each image
        for path, split in splits.items():
            parts = folders[path]
            if at_class is None or at_class >= len(parts):
                continue
            inside.add("/".join(parts[: at_class + 1]))
            used.append(parts)
            listing.add_file(tree, path, _class_name(parts, at_class), split)
            if {split_of(part) for i, part in enumerate(parts) if i != at_class} - {split, None, ALL}:
                raise FerError(f"{tree.root}: two folders of {path} mean different splits; rename one of them")
        listing.hint = label_hint(tree)
        if not listing.entries:
            raise FerError("; ".join(filter(None, [f"{tree.root}: no images in class folders", listing.hint])))
        at_splits = frozenset(i for parts in used for i, part in enumerate(parts) if i != at_class and split_of(part))
        listing.groups, note, listing.question = subjects.of_folders(used, at_class or 0, at_splits)
        listing.notes += filter(None, [note])
        self._check_spelling(tree, listing, at_class)
        self._name_the_rest(tree, listing, inside, at_split, at_class)
        _divide_mixed_test(listing)
        return listing

    def _class_level(self, tree: Tree, folders: dict, at_split: int | None) -> int | None:
        """The level of the class folders: where most images lie in a folder named like a class; else, for the message
        that names them, the first level where folders differ."""
        parts = [tuple("" if i == at_split else part for i, part in enumerate(parts)) for parts in folders.values()]
        known = _level(parts, self.is_class)
        if known is not None:
            self._check_numbers(tree, parts, known)
            return known
        depth = max(map(len, parts), default=0)
        at_least = 0 if at_split is None else at_split + 1
        for level in (*range(at_least, depth), *range(at_least)):
            names = {part[level] for part in parts if len(part) > level} - {""}
            if len(names) > 1 or (names and level + 1 == depth):
                return level
        return None

    def _check_numbers(self, tree: Tree, folders: list[tuple[str, ...]], at_class: int) -> None:
        """Refuses numbers that mean classes on two levels: one of them may count subjects or folds."""
        for level in range(at_class + 1, max(map(len, folders), default=0)):
            both = [(parts[at_class], parts[level]) for parts in folders if level < len(parts)]
            fitting = [pair for pair in both if all(map(self.is_class, pair)) and not all(map(is_emotion, pair))]
            if len(fitting) > len(folders) / 2:
                outer, inner = fitting[0]
                text = f"{outer}/ and {inner}/ inside it both name a class; rename the folders that do not"
                raise FerError(f"{tree.root}: {text}")

    def _check_spelling(self, tree: Tree, listing: Listing, at_class: int | None) -> None:
        """Refuses two folders for one label in the same place: one of them may be a mistake."""
        seen: dict[tuple, str] = {}
        for entry, name in zip(listing.entries, listing.names, strict=True):
            parts = PurePosixPath(entry.path).parts
            key = (*parts[:at_class], canonical(name))
            if seen.setdefault(key, name) != name:
                where = tree.root.joinpath(*parts[:at_class])
                raise FerError(f"{where}: {seen[key]}/ and {name}/ both mean {key[-1]!r}; put them together")
        words: dict[tuple, str] = {}
        filled = {folder for entry in listing.entries for folder in _above(entry.path)}
        for path in tree.folders:
            *above, last = PurePosixPath(path).parts
            split = split_of(last)
            if not split or path not in filled:
                continue
            if words.setdefault((*above, split), last) != last:
                where, other = tree.root.joinpath(*above), words[(*above, split)]
                raise FerError(f"{where}: both {other}/ and {last}/ mean {split}; keep one")

    def _name_the_rest(self, tree: Tree, listing: Listing, inside: set, at_split, at_class) -> None:
        used, splits = {entry.path for entry in listing.entries}, set(listing.splits)
        around = {folder for path in used for folder in _above(path)}

        def skip(path: str, reason: str) -> None:
            parts = PurePosixPath(path).parts
            split = split_of(parts[at_split]) if at_split is not None and at_split < len(parts) else None
            listing.skipped.append((split if split in splits else "", path, reason))

        empty: set[str] = set()
        filled = {folder for path in tree.images for folder in _above(path)}
        for folder in tree.folders:
            *above, last = folder.split("/")
            if folder not in filled and len(above) == at_class and self.is_class(last):
                skip(folder, NO_IMAGES)
                around.add(folder)
                empty.add(folder)
        lost: dict[str, None] = {}  # of what lies in a folder without used images, that folder alone
        for path in [*tree.images, *tree.others]:
            if path not in used:
                outside = (folder for folder in _above(path) if folder not in around)
                lost[next(outside, path)] = None
        for path in lost:
            parent = path.rpartition("/")[0]
            within = parent in empty or any(parent == folder or parent.startswith(f"{folder}/") for folder in inside)
            skip(path, "not an image file" if within else NOT_IN_A_CLASS)
        for path, reason in tree.problems:
            skip(path, reason)


def _class_name(parts: tuple[str, ...], at_class: int) -> str:
    """The class folder; two emotions below each other are a class of their own, which the user has to name."""
    own = parts[at_class]
    if not is_emotion(own) or all(canonical(part) == canonical(own) for part in parts if is_emotion(part)):
        return own
    return "/".join(part for part in parts if is_emotion(part))


def _above(path: str) -> list[str]:
    """The folders above a path, the outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _level(folders, fits: Callable[[str], bool]) -> int | None:
    """The level of folders at which most images lie in one that fits; None where none does."""
    counts = Counter(level for parts in folders for level, part in enumerate(parts) if part and fits(part))
    return min(counts, key=lambda level: (-counts[level], level), default=None)


def _divide_mixed_test(listing: Listing) -> None:
    """Takes FER2013's mixed test folder apart, if the files say where they are from; strays stay in test."""
    rows = [row for row, split in enumerate(listing.splits) if split == "test"]
    found = [PREFIXES.get(listing.entries[row].path.rpartition("/")[2].partition("_")[0]) for row in rows]
    if "validation" in listing.splits or sum(map(bool, found)) <= MOST * len(rows):
        return
    for row, split in zip(rows, found, strict=True):
        listing.splits[row] = split or "test"
    if strays := [listing.entries[row].path for row, split in zip(rows, found, strict=True) if split is None]:
        shown = ", ".join(strays[:3])
        listing.notes.append(f"neither PublicTest_ nor PrivateTest_, so they stay in test: {shown}")
    if "validation" in found:
        listing.skipped = [
            ("validation" if split == "test" else split, name, reason) for split, name, reason in listing.skipped
        ]
