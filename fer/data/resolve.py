"""What the listing of a data set means: the label of every class name, and who is a subject of their own."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.data import coding
from fer.data.coding import LEFT_OUT
from fer.data.listing import MOST, Listing
from fer.data.readers.class_folders import NO_IMAGES
from fer.data.readers.laboratory import subjects_of

NO_GROUPS = "none"  # --group: subjects are not kept apart


def groups(listing: Listing, group: str | None) -> list[str]:
    """The subject or sequence of each image; empty where none is known or none is wanted.

    Raises:
        FerError: `group` is neither a column nor a regular expression that fits an image.
    """
    if group is None:
        if any(listing.groups):
            return listing.groups
        if any(entry.row is not None for entry in listing.entries):
            return []
        found = subjects_of([entry.path for entry in listing.entries])
        if found:
            listing.question = ""
            _tell(listing, found, "file names", f" (else --group {NO_GROUPS})")
        return found
    listing.question = ""
    if group == NO_GROUPS:
        return []
    if group.lower() in listing.columns:
        subjects = listing.columns[group.lower()]
        _tell(listing, subjects, "--group")
        return subjects
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise FerError(f"--group {group!r}: not a regular expression ({error})") from error
    matches = [pattern.search(str(entry)) for entry in listing.entries]
    fitting = sum(map(bool, matches))
    if 0 < fitting <= MOST * len(matches):
        stray = listing.entries[matches.index(None)]
        raise FerError(
            f"--group {group!r}: fits {fitting:,} of {len(matches):,} images, and not {stray}, "
            "which would be of no subject"
        )
    if not fitting:
        columns = f" ({', '.join(listing.columns)})" if listing.columns else ""
        raise FerError(
            f"--group {group!r}: neither a column{columns} nor a pattern that fits {listing.entries[0]}; "
            f"'{NO_GROUPS}' keeps no subjects apart"
        )
    subjects = [(match[1] if match.lastindex else match[0]) if match else "" for match in matches]
    _tell(listing, subjects, "--group")
    return subjects


def _tell(listing: Listing, subjects: list[str], source: str, way_out: str = "") -> None:
    """Notes how many subjects there are and what told them, and which images are of none."""
    known = sorted(set(subjects) - {""})
    strays = [str(entry) for entry, subject in zip(listing.entries, subjects, strict=True) if not subject]
    listing.notes.append(f"{len(known):,} subjects or sequences by {source}: {', '.join(known[:3])} ...{way_out}")
    listing.notes += [f"of no known subject: {', '.join(strays[:3])}"] if strays else []


def targets(
    listing: Listing,
    source: str,
    rows: Mapping[str, Sequence[int]],
    given: Mapping[str, str] | str | None,
    drop: Collection[str],
    *,
    same_classes: bool,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Targets of all images of a listing, float32 (n, k), and their labels; rows of zeros do not count.

    Raises:
        FerError: class names that are not emotions, splits with different classes, or an unknown label in `drop`.
    """
    _check_dropped(listing, source, given, drop)
    wanted = sorted({row for part in rows.values() for row in part})
    if listing.shares is not None:
        dropped = _dropped_labels(listing, given, drop)
        left = [i for i, label in enumerate(listing.order) if label not in dropped]
        if len(left) == len(listing.order):
            return listing.shares, listing.order
        shares, lost = listing.shares[:, left], np.delete(listing.shares, left, axis=1)
        won = lost.max(axis=1) > shares.max(axis=1, initial=0)
        shares[won] = 0
        sums = shares.sum(axis=1, keepdims=True)
        shares = np.divide(shares, sums, out=np.zeros_like(shares), where=sums > 0)
        listing.notes.append(f"left out: {won[wanted].sum():,} images with most votes for {', '.join(drop)}")
        return shares, tuple(listing.order[i] for i in left)
    names = sorted({listing.names[row] for row in wanted} - {""})
    decoded = coding.decode_names(names, source, given=given, own=listing.coding, drop=drop, hint=listing.hint)
    found = {label for label in decoded.values() if label != LEFT_OUT}
    if listing.order and not isinstance(given, Mapping):
        dropped = _dropped_labels(listing, given, drop)
        order = tuple(label for label in listing.order if label not in dropped)
    else:
        order = tuple(sorted(found))
    if not order:
        raise FerError(f"{source}: {'every label is left out' if drop else 'no image has a label'}")
    if same_classes:
        _check_same_classes(listing, source, rows, decoded)
    left_out = [row for row in wanted if decoded.get(listing.names[row]) == LEFT_OUT]
    if left_out:
        which = ", ".join(sorted({listing.names[row] for row in left_out}))
        listing.notes.append(f"left out: {len(left_out):,} images labelled {which}")
    one_hot = np.zeros((len(listing), len(order)), np.float32)
    column = {name: order.index(label) for name, label in decoded.items() if label != LEFT_OUT}
    labelled = [row for row in wanted if listing.names[row] in column]
    one_hot[labelled, [column[listing.names[row]] for row in labelled]] = 1
    return one_hot, order


def _dropped_labels(listing: Listing, given: Mapping[str, str] | str | None, drop: Collection[str]) -> set[str]:
    """The labels that are left out, of which some may be given by the name or number of their class."""
    codings = coding.codings_for(given, listing.coding)
    known = {name: label for one in reversed(codings) for name, label in one.items()}
    return {known.get(coding.plain(name), coding.canonical(name)) for name in drop}


def _check_dropped(listing: Listing, source: str, given: Mapping[str, str] | str | None, drop: Collection[str]) -> None:
    """Refuses to leave out what no split has: a slip would go unseen."""
    codings = [one for one in (given, listing.coding) if isinstance(one, Mapping)]
    known = {*listing.names, *listing.order, *(label for one in codings for label in one.values())} - {"", LEFT_OUT}
    understood = {spelling for name in known for spelling in (coding.canonical(name), coding.plain(name))}
    for name in drop:
        if not {coding.canonical(name), coding.plain(name)} & understood:
            there = ", ".join(sorted(map(coding.canonical, known))[:12])
            raise FerError(f"{source}: there is no label {name!r} to leave out; there are: {there}")


def _check_same_classes(listing: Listing, source: str, rows: Mapping[str, Sequence[int]], decoded: dict) -> None:
    """Refuses splits of class folders of which one lacks a class; a folder without images counts as one."""
    empty = {(split, coding.canonical(Path(name).name)) for split, name, why in listing.skipped if why == NO_IMAGES}
    present = {}
    for part, own in rows.items():
        if own:
            present[part] = {decoded[listing.names[row]] for row in own} - {LEFT_OUT}
            present[part] |= {label for split, label in empty if split in (part, listing.splits[own[0]])}
    (first, classes), *others = present.items()
    for part, other in others:
        missing = sorted(label for label in classes ^ other if label in decoded.values())
        if missing:
            where = {label: first if label in classes else part for label in missing}
            text = ", ".join(f"{label!r} only in {where[label]}" for label in missing)
            raise FerError(f"{source}: {first} and {part} have different classes: {text}")
