"""What predict_folder.py says at its end, with and without --ray."""

from collections import Counter
from collections.abc import Mapping

from fer.core.text import counted
from fer.inference.results import STATUSES


def print_notes(counts: Counter[str], others: Counter[str], cropped: str) -> None:
    """Says what was taken as cropped faces, and what was left out."""
    if cropped == "square":
        print(f"most images are square and have no face that is found: {counts['cropped']:,} taken as cropped faces")
    elif counts["cropped"]:
        print(f"{counts['cropped']:,} small square images taken as cropped faces (--detector auto)")
    if counts["faceless_squares"]:
        number = counts["faceless_squares"]
        print(f"{number:,} square images without a face; if they are cropped faces, use --detector none")
    if others:
        kinds = ", ".join(f"{suffix or 'no suffix'} {count:,}" for suffix, count in others.most_common(5))
        kinds += ", ..." * (len(others) > 5)
        print(f"left out, because they are not images: {counted(others.total(), 'file')} ({kinds})")


def print_table(table: str) -> None:
    """Shows how the labels of the folders' names were predicted; no table is "".

    Args:
        table: see `batch.folder_table`.
    """
    if table:
        print(f"\nfolder (row) by predicted label (column), the largest face of each image\n{table}\n")


def print_images(output: str, statuses: Mapping[str, int]) -> None:
    """Says how many images of a table or a folder of results have each of the statuses."""
    ok, none, unreadable = (statuses[status] for status in STATUSES)
    print(f"{output}: {ok:,} images with faces, {none:,} without a face, {unreadable:,} unreadable")
