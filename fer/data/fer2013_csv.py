"""Reads fer2013.csv and the FER+ votes that belong to its rows."""

import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer.core import csv
from fer.core.errors import FerError
from fer.core.labels import canonical
from fer.data.coding import CODINGS

SIDE = 48  # pixels of a side of a FER2013 image
USAGES = {"training": "train", "publictest": "validation", "privatetest": "test"}
EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")  # columns of FER+
OTHER_VOTES = ("unknown", "nf")  # not sure; not a face
AGREEMENT = 0.4  # share of labels that are the majority of the votes: 0.67 in FER2013, 0.2 between other rows
FEWEST = 50  # rows on which chance would show
CHUNK = 2048  # rows parsed at a time: 20 MB of text, not 271


@dataclass(frozen=True)
class Table:
    """Rows of a CSV: images uint8 (n, 48, 48); codes int64 (n) of the coding; splits (n), None without Usage."""

    images: np.ndarray
    codes: np.ndarray
    splits: np.ndarray | None


def read(
    path: Path,
    progress: Callable[[Iterable, int], Iterable] = lambda rows, _: rows,
    coding: Mapping[str, str] = CODINGS["fer2013"],
) -> Table:
    """Reads `emotion,pixels[,Usage]` in any order of columns; stray spaces do no harm.

    Args:
        path: the CSV file.
        progress: wraps the iteration over chunks; gets it and the number of chunks (estimated from the file's size).
        coding: the numbers that an emotion may have.

    Raises:
        FerError: other columns, or a row with a wrong emotion, Usage or number of pixels: the message names the row.
    """
    images: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    usages: list[np.ndarray] = []
    n_chunks = max(1, round(path.stat().st_size / (CHUNK * 8400))) if path.is_file() else 1
    for chunk in progress(csv.read_chunks(path, CHUNK), n_chunks):
        csv.require(chunk, ("emotion", "pixels"), path)
        first = sum(len(part) for part in codes)
        codes.append(_codes(path, first, chunk["emotion"], coding))
        images.append(_pixels(path, first, chunk["pixels"]))
        if "usage" in chunk.columns:
            usages.append(_usages(path, first, chunk["usage"]))
    if not codes or not sum(len(part) for part in codes):
        raise FerError(f"{path}: no rows")
    return Table(np.concatenate(images), np.concatenate(codes), np.concatenate(usages) if usages else None)


def _codes(path: Path, first: int, column: pd.Series, coding: Mapping[str, str]) -> np.ndarray:
    valid = {code: int(code) for code in coding}
    codes = column.str.strip().map(valid)
    if codes.isna().any():
        bad = int(np.flatnonzero(codes.isna())[0])
        found = reprlib.repr(column.iloc[bad])
        seven = coding == CODINGS["fer2013"]
        more = "; with 7 for contempt, as CK+'s table has it: --format ckextended" if seven else ""
        raise FerError(f"{csv.at_row(path, first + bad)}: emotion must be 0 to {len(coding) - 1}, not {found}{more}")
    return codes.to_numpy(np.int64)


def _usages(path: Path, first: int, column: pd.Series) -> np.ndarray:
    splits = column.str.strip().str.lower().map(USAGES)
    if splits.isna().any():
        bad = int(np.flatnonzero(splits.isna())[0])
        where, found = csv.at_row(path, first + bad), reprlib.repr(column.iloc[bad])
        raise FerError(f"{where}: Usage must be Training, PublicTest or PrivateTest, not {found}")
    return splits.to_numpy(str)


def _pixels(path: Path, first: int, column: pd.Series) -> np.ndarray:
    images = np.empty((len(column), SIDE, SIDE), np.uint8)
    for i, text in enumerate(column):
        where = csv.at_row(path, first + i)
        try:
            values = np.fromstring(text, np.int64, sep=" ")  # many times faster than splitting the text
        except ValueError as error:
            raise FerError(f"{where}: pixels must be integers") from error
        if len(values) != SIDE * SIDE:
            raise FerError(f"{where}: {len(values):,} pixels instead of {SIDE * SIDE:,} ({SIDE} x {SIDE})")
        if values.min() < 0 or values.max() > 255:
            raise FerError(f"{where}: a pixel outside 0..255")
        images[i] = values.reshape(SIDE, SIDE)
    return images


@dataclass(frozen=True)
class Votes:
    """FER+ labels of the rows of a CSV.

    Attributes:
        counts: float32 (n, 10), all votes as they stand in the file: the eight emotions, "unknown", "not a face".
        shares: float32 (n, 8), the votes that remain after outliers, as shares of the eight emotions; rows of zeros
            where the image does not count.
        labels: the eight canonical names.
    """

    counts: np.ndarray
    shares: np.ndarray
    labels: tuple[str, ...]


def read_votes(path: Path, splits: np.ndarray | None, labels: np.ndarray | None = None) -> Votes:
    """Reads fer2013new.csv and applies the rules of Barsoum et al. 2016 (Training Deep Networks for Facial Expression
    Recognition with Crowd-Sourced Label Distribution).

    A single vote for an answer is an outlier and removed; an image counts only if one of the eight emotions holds
    more than half of the votes that remain ("unknown" and "not a face" included).

    Args:
        path: the votes.
        splits: of the rows of fer2013.csv, in its order: row i of one file belongs to row i of the other.
        labels: of these rows, str (n), to see whether the votes agree with them more than by chance.

    Raises:
        FerError: other columns, other rows, or a row of another Usage than its partner.
    """
    if splits is None:
        raise FerError("votes are matched to rows by position and checked by Usage, but the CSV has no Usage column")
    table = csv.read_csv(path)
    csv.require(table, ("usage", *EMOTIONS, *OTHER_VOTES), path)
    if len(table) < len(splits):
        raise FerError(f"{path}: {len(table):,} rows of votes for {len(splits):,} images; they belong to another CSV")
    table = table.iloc[: len(splits)]
    usages = table["usage"].str.strip().str.lower().map(USAGES).to_numpy()
    if (wrong := np.flatnonzero(usages != splits)).size:
        row = int(wrong[0])
        raise FerError(f"{csv.at_row(path, row)}: Usage {table['usage'].iloc[row]} beside an image of {splits[row]}")
    counts = vote_counts(table[[*EMOTIONS, *OTHER_VOTES]], path)
    votes = Votes(counts, shares_of(counts), tuple(canonical(name) for name in EMOTIONS))
    if labels is not None:
        _check_agreement(votes, labels, path)
    return votes


def _check_agreement(votes: Votes, labels: np.ndarray, path: Path) -> None:
    """Refuses votes for other rows: those of a CSV that was filtered or sorted have the right number and Usage."""
    counted = votes.shares.any(axis=1)
    agree = np.array(votes.labels)[votes.shares.argmax(axis=1)] == labels
    if counted.sum() >= FEWEST and (share := agree[counted].mean()) < AGREEMENT:
        raise FerError(
            f"{path}: the votes agree with {share:.0%} of the labels, as by chance: they belong to other rows. Keep "
            "the rows of fer2013.csv as they are; --keep-list leaves images out"
        )


def vote_counts(table: pd.DataFrame, path: str | Path, *, header: bool = True) -> np.ndarray:
    """The cells of a table of votes, float32 (rows, columns).

    Raises:
        FerError: a cell is not a number from 0; the message names the row.
    """
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    if (wrong := np.flatnonzero(~(values >= 0).all(axis=1))).size:
        row = int(wrong[0])
        where = csv.at_row(path, row) if header else f"{path}, line {row + 1}"
        raise FerError(f"{where}: a vote is missing or not a number from 0")
    return values


def shares_of(counts: np.ndarray) -> np.ndarray:
    """The votes that remain after outliers, as shares of the eight emotions; see `read_votes`.

    Args:
        counts: float32 (n, 10), columns `EMOTIONS` and `OTHER_VOTES`.

    Returns:
        float32 (n, 8), rows of zeros where the image does not count.
    """
    votes = np.where(counts > 1, counts, 0)
    emotions = votes[:, : len(EMOTIONS)]
    agreed = emotions.max(axis=1) > votes.sum(axis=1) / 2
    sums = np.maximum(emotions.sum(axis=1, keepdims=True), 1)
    return np.where(agreed[:, None], emotions / sums, 0).astype(np.float32)
