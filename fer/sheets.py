"""Sheets of pictures to look at: samples of each class, twins side by side, labels in doubt."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer import plots
from fer.audit import Audit

SAMPLES = 64  # pictures on a sheet
MOST_IN_GROUP = 8  # of one group of twins: a row


def write(found: Audit, folder: str | Path, *, seed: int = 0) -> list[Path]:
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
        sheets[f"samples-{_file_name(label)}"] = chosen, f"{label}: {len(chosen)} of {len(rows):,} pictures"
    sheets["flat"] = np.flatnonzero(found.flat)[:SAMPLES], f"blank or near-constant: {found.flat.sum():,} pictures"
    sheets["wrong-size"] = found.odd[:SAMPLES], f"of an unexpected size: {len(found.odd):,} pictures"
    for kind, groups in (("exact", found.exact_groups), ("near", found.near_groups)):
        torn = found.conflicts(groups)
        sheets[f"{kind}-twins"] = _rows(found, groups), f"{kind} twins, the first of {len(groups):,} groups"
        sheets[f"{kind}-conflicts"] = _rows(found, torn), f"{kind} twins with several labels, of {len(torn):,} groups"
    sheets["outvoted"] = found.outvoted[:SAMPLES], f"FER+ votes otherwise: {len(found.outvoted):,} pictures"
    sheets["disputed"] = found.disputed[:SAMPLES], f"the model disputes the label most: of {len(found.disputed):,}"
    written = []
    for name, (rows, title) in sheets.items():
        if len(rows):
            written.append(folder / f"{name}.png")
            captions = [_caption(found, row) for row in rows]
            plots.contact_sheet(found.data.images[rows], captions, written[-1], title=title)
    return written


def _rows(found: Audit, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Members of the first groups, as many as a sheet takes; of a large group every label shows."""
    rows = []
    for group in groups:
        if len(rows) + min(len(group), MOST_IN_GROUP) > SAMPLES:
            break
        each = group[np.unique(found.codes[group], return_index=True)[1]]  # one of every label
        rest = np.setdiff1d(group, each)
        rows.extend(np.sort(np.concatenate([each, rest])[:MOST_IN_GROUP]))
    return np.array(rows, np.int64)


def _caption(found: Audit, row: int) -> str:
    lines = [f"{found.data.labels[found.codes[row]]}, {found.splits[row]}", f"group {found.near[row]}"]
    if found.voted is not None and found.voted[row]:
        lines.append(f"FER+ {found.voted[row]}")
    if found.probabilities is not None:
        best = int(found.probabilities[row].argmax())
        lines.append(f"model {found.data.labels[best]} {found.probabilities[row, best]:.0%}")
    return "\n".join(lines)


def _file_name(label: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in label)
