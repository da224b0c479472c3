"""An audit as text, as a dict for JSON, and as contact sheets."""

from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np

from fer.core import figures
from fer.data.audit import Audit

MAX_NAMES = 5  # of each kind in the text; the JSON has all
SAMPLES = 64  # images on a sheet
MAX_IN_GROUP = 8  # images of one group of duplicates on a sheet: a row


def to_dict(found: Audit) -> dict:
    """Every figure and every name; names are those of a keep list."""
    names = np.array(found.data.names, object)
    labels = np.array(found.data.labels)

    def named(rows) -> list[str]:
        return names[rows].tolist()

    def image(row) -> dict:
        return {"name": names[row], "split": str(found.splits[row]), "label": str(labels[found.codes[row]])}

    report = {
        "images": len(found.data),
        "labels": list(found.data.labels),
        "counts": counts(found),
        "unreadable": {split: list(map(list, found.skipped[split])) for split in found.present},
        "blank": named(found.blank),
        "near_constant": named(found.flat & ~found.blank),
        "sizes": {f"{width}x{height}": count for (width, height), count in found.sizes.most_common()},
        "wrong_size": named(found.odd),
        "near_threshold": found.threshold,
        "near_pairs": len(found.pairs[0]),
        "leakage": leakage(found),
    }
    if found.data.groups:
        report["subjects"] = subjects(found)
    for kind, groups in (("exact", found.exact_groups), ("near", found.near_groups)):
        report[f"{kind}_groups"] = [[image(row) for row in rows] for rows in groups]
        report[f"{kind}_conflicts"] = [named(rows) for rows in found.conflicts(groups)]
    if found.voted is not None:
        report["votes"] = {"counted": int((found.voted != "").sum()), "disagree": len(found.outvoted)}
        report["outvoted"] = [image(row) | {"votes": str(found.voted[row])} for row in found.outvoted]
    if found.probabilities is not None:
        report["disputed"] = [image(row) | _dispute(found, row) for row in found.disputed]
    return report


def counts(found: Audit) -> dict[str, dict[str, int]]:
    """Number of images of each label, by split."""
    k = len(found.data.labels)
    by_split = {split: np.bincount(found.codes[found.splits == split], minlength=k) for split in found.present}
    return {split: dict(zip(found.data.labels, row.tolist(), strict=True)) for split, row in by_split.items()}


def leakage(found: Audit) -> dict[str, dict[str, float]]:
    """For each pair of splits how many images of one have a duplicate in the other: {"validation in train": ...}."""
    report = {}
    for split, into in permutations(found.present, 2):
        if split != "train":
            exact, either = found.leaked(split, into)
            n = int((found.splits == split).sum())
            shares = {"exact_share": len(exact) / max(n, 1), "exact_or_near_share": len(either) / max(n, 1)}
            report[f"{split} in {into}"] = {"exact": len(exact), "exact_or_near": len(either)} | shares
    return report


def subjects(found: Audit) -> dict[str, int]:
    """Number of subjects or sequences, and of those with images in two splits: {"train and validation": ...}."""
    groups = np.array(found.data.groups)
    known = {split: set(groups[found.splits == split]) - {""} for split in found.present}
    counts = {"all": len(set().union(*known.values()))}
    return counts | {f"{a} and {b}": len(known[a] & known[b]) for a, b in combinations(found.present, 2)}


def summary(found: Audit) -> str:
    """The audit on one screen."""
    lines = [_table(found), ""]
    skipped = [f"{name}: {why}" for skips in found.skipped.values() for name, why in skips]
    lines += _some("could not be used", skipped)
    names = found.data.names
    usual = ", ".join(f"{width}x{height} {count:,}" for (width, height), count in found.sizes.most_common(3))
    for rows, what in (
        (np.flatnonzero(found.blank), "blank"),
        (np.flatnonzero(found.flat & ~found.blank), "near-constant"),
        *([(found.odd, f"of an unusual size (most common: {usual})")] if found.sizes else []),
    ):
        lines += _some(what, [names[row] for row in rows])
    if found.data.groups:
        count, *shared = subjects(found).items()
        lines.append(f"subjects or sequences: {count[1]:,}" + "".join(f"; {n:,} in both {pair}" for pair, n in shared))
    lines += _duplicates(found) + _doubts(found, names)
    return "\n".join(lines)


def _table(found: Audit) -> str:
    by_split = counts(found)
    width = max(map(len, (*found.data.labels, "emotion")))
    lines = [f"{'emotion':{width}}" + "".join(f"{split:>12}" for split in by_split)]
    for label in found.data.labels:
        lines.append(f"{label:{width}}" + "".join(f"{row[label]:12,}" for row in by_split.values()))
    return "\n".join([*lines, f"{'all':{width}}" + "".join(f"{sum(row.values()):12,}" for row in by_split.values())])


def _some(what: str, items: list[str]) -> list[str]:
    more = [f"  ... and {len(items) - MAX_NAMES:,} more"] if len(items) > MAX_NAMES else []
    return [f"{len(items):,} {what}", *(f"  {item}" for item in items[:MAX_NAMES]), *more]


def _duplicates(found: Audit) -> list[str]:
    lines = []
    near = f"duplicates or near-duplicates (r >= {found.threshold})"
    for kind, groups in (("duplicates", found.exact_groups), (near, found.near_groups)):
        n_images, conflicts = sum(map(len, groups)), len(found.conflicts(groups))
        lines.append(f"{kind}: {n_images:,} images in {len(groups):,} groups; {conflicts:,} groups with several labels")
    for pair, row in leakage(found).items():
        split, _, into = pair.partition(" in ")
        lines.append(
            f"{split} images with a duplicate in {into}: {row['exact']:,} ({row['exact_share']:.1%}), "
            f"with a duplicate or near-duplicate: {row['exact_or_near']:,} ({row['exact_or_near_share']:.1%})"
        )
    return lines


def _doubts(found: Audit, names: Sequence[str]) -> list[str]:
    lines, n = [], len(found.data)
    if found.voted is not None:
        counted = int((found.voted != "").sum())
        share = len(found.outvoted) / max(counted, 1)
        differ = f"{len(found.outvoted):,} ({share:.1%}) differ from the label"
        lines.append(f"FER+ has a majority for {counted:,} of {n:,}; {differ}")
    if found.probabilities is not None:
        lines.append(
            f"labels that the model disputes: {len(found.disputed):,} ({len(found.disputed) / max(n, 1):.1%}); "
            "an undercount where it was trained on these images"
        )
        for row in found.disputed[:MAX_NAMES]:
            predicted = "predicted {model} {confidence:.0%}, {given:.0%} for the label".format(**_dispute(found, row))
            lines.append(f"  {names[row]}: {predicted} {found.data.labels[found.codes[row]]}")
    return lines


def _dispute(found: Audit, row: int) -> dict:
    assert found.probabilities is not None
    probabilities = found.probabilities[row]
    best = int(probabilities.argmax())
    return {
        "model": found.data.labels[best],
        "confidence": round(float(probabilities[best]), 4),
        "given": round(float(probabilities[found.codes[row]]), 4),
    }


def write_sheets(found: Audit, folder: str | Path, *, seed: int = 0) -> list[Path]:
    """Writes the sheets as PNG files; kinds of which there are none have no sheet.

    Args:
        found: the audit.
        folder: made as needed; sheets that lie there already are replaced.
        seed: of the samples.

    Returns:
        What was written.

    Raises:
        FerError: the folder cannot be written.
    """
    folder, rng = Path(folder), np.random.default_rng(seed)
    labels, sheets = found.data.labels, {}
    for code, label in enumerate(labels):
        rows = np.flatnonzero(found.codes == code)
        chosen = np.sort(rng.permutation(rows)[:SAMPLES])
        sheets[f"samples-{_file_name(label)}"] = chosen, f"{label}: {len(chosen)} of {len(rows):,} images"
    sheets["flat"] = np.flatnonzero(found.flat)[:SAMPLES], f"blank or near-constant: {found.flat.sum():,} images"
    sheets["wrong-size"] = found.odd[:SAMPLES], f"of an unexpected size: {len(found.odd):,} images"
    for kind, groups in (("exact", found.exact_groups), ("near", found.near_groups)):
        conflicts, what = found.conflicts(groups), {"exact": "duplicates", "near": "near-duplicates"}[kind]
        sheets[f"{what}"] = _rows(found, groups), f"{what}, the first of {len(groups):,} groups"
        sheets[f"{kind}-conflicts"] = _rows(found, conflicts), f"{what} with several labels, {len(conflicts):,} groups"
    sheets["outvoted"] = found.outvoted[:SAMPLES], f"other label in FER+: {len(found.outvoted):,} images"
    sheets["disputed"] = found.disputed[:SAMPLES], f"the model disputes the label most: of {len(found.disputed):,}"
    written = []
    for name, (rows, title) in sheets.items():
        if len(rows):
            written.append(folder / f"{name}.png")
            captions = [_caption(found, row) for row in rows]
            figures.contact_sheet(found.data.images[rows], captions, written[-1], title=title)
    return written


def _rows(found: Audit, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Members of the first groups, as many as a sheet takes; of a large group every label shows."""
    rows: list[int] = []
    for group in groups:
        if len(rows) + min(len(group), MAX_IN_GROUP) > SAMPLES:
            break
        each = group[np.unique(found.codes[group], return_index=True)[1]]  # one of every label
        rest = np.setdiff1d(group, each)
        rows.extend(np.sort(np.concatenate([each, rest])[:MAX_IN_GROUP]))
    return np.array(rows, np.int64)


def _caption(found: Audit, row: np.intp) -> str:
    lines = [f"{found.data.labels[found.codes[row]]}, {found.splits[row]}", f"group {found.near[row]}"]
    if found.voted is not None and found.voted[row]:
        lines.append(f"FER+ {found.voted[row]}")
    if found.probabilities is not None:
        best = int(found.probabilities[row].argmax())
        lines.append(f"model {found.data.labels[best]} {found.probabilities[row, best]:.0%}")
    return "\n".join(lines)


def _file_name(label: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in label)
