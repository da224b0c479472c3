"""Which split a name means."""

import re
from pathlib import PurePosixPath

SPLITS = ("train", "validation", "test")
_WORDS = {
    "train": r"train(?:ing)?",
    "validation": r"val(?:id(?:ation)?)?|eval(?:uation)?|dev(?:el(?:opment)?)?|public\W?_?test",
    "test": r"test(?:ing)?|private\W?_?test",
}
# Words that may stand beside: "train_set", "FER2013Train", "1-train", "Train_Aligned_Faces", "test-00000-of-00001".
_NEUTRAL = "fer|raf|db|set|split|data|images?|imgs?|faces?|aligned|cropped|part|of|labels?|emotions?"
_FILLER = rf"(?:[\W\d_]|{_NEUTRAL})*"
_PATTERNS = {
    split: re.compile(rf"{_FILLER}(?:{words}){_FILLER}", re.IGNORECASE | re.ASCII) for split, words in _WORDS.items()
}
# FER2013's folder copies mix both official test splits in test/; the file names still tell them apart.
PREFIXES = {"PublicTest": "validation", "PrivateTest": "test"}


def split_of(name: str) -> str | None:
    """The split that the name of a folder or a file, or a cell of a table, means; None for any other name."""
    return next((split for split, pattern in _PATTERNS.items() if pattern.fullmatch(name.strip())), None)


def split_above(path: str) -> str | None:
    """The split of the first folder above a file whose name means one; None where there is none."""
    return next((split for part in PurePosixPath(path).parts[:-1] if (split := split_of(part))), None)
