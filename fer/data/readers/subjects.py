"""Which folders of a data set are subjects: those that are numbered alike. Words may mean anything: the user says."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from fer.data.listing import MOST

_NUMBERED = re.compile(r"([a-z]{0,12})[\s._-]*\d{1,6}", re.IGNORECASE)
# Words before a number that say what it counts.
_SUBJECT = re.compile(r"s|p|f|m|id|pt|sub|subj|subject|person|actor|participant|user")
_OTHER = re.compile(
    r"take|seq|sequence|session|clip|trial|fold|part|batch|set|cam|camera|view|angle|pose|yaw|frames?|video|chunk|folder|"
    r"dir|group|level|intensity|version|v|vol|size|light|day|run|scene|shot"
)


class Subjects(NamedTuple):
    """Attributes:
    groups: the subject of each image; empty where none is known.
    note: a line that says which folders were taken as subjects.
    question: a line for folders that may be subjects or not; "" where there are none.
    """

    groups: list[str]
    note: str = ""
    question: str = ""


def of_folders(folders: Sequence[tuple[str, ...]], at_class: int, at_split: frozenset[int]) -> Subjects:
    """The subjects that the folders around the classes tell.

    Args:
        folders: the folders of each image, the outermost first.
        at_class: level of the class folders.
        at_split: levels of folders that mean splits.
    """
    depth = max(map(len, folders), default=0)
    levels: dict[int, list[str]] = {}
    for level in range(depth):
        names = [parts[level] if level < len(parts) else "" for parts in folders]
        if level != at_class and level not in at_split and len(set(names)) > 1:
            levels[level] = names
    words = {level: _word(names) for level, names in levels.items()}
    numbered = [level for level, word in words.items() if word is not None and not _OTHER.fullmatch(word)]
    if len(numbered) > 1:  # a word tells the subjects from the rest
        numbered = [level for level in numbered if _SUBJECT.fullmatch(words[level] or "")] or numbered
    if len(numbered) == 1:
        names = levels[numbered[0]]
        note = f"{len(set(names) - {''}):,} folders are taken as subjects: {_shown(names)} (else --group none)"
        alike = _alike(names)
        odd = {name for name in set(names) if name and _word_of(name) not in alike}
        named = f"also {_shown(odd)}, which are numbered otherwise" if odd else ""
        outside = f"{names.count(''):,} images lie in none of them" if "" in names else ""
        return Subjects(names, "; ".join(filter(None, [note, named, outside])))
    unclear = numbered or [level for level, word in words.items() if level < at_class or word]
    return Subjects([], question=_question(levels, unclear[0]) if unclear else "")


def _word(names: Sequence[str]) -> str | None:
    """The word before the numbers, where most images lie in folders that are numbered alike; else None."""
    return min(_alike(names), default=None)


def _alike(names: Sequence[str]) -> frozenset[str]:
    """The words of the folders that are numbered alike, if most images lie in them; F01 and M01 are alike."""
    words = Counter(word for name in names if (word := _word_of(name)) is not None)
    common = max(words, key=lambda word: words[word], default="")
    alike = frozenset(filter(_SUBJECT.fullmatch, words)) if _SUBJECT.fullmatch(common) else frozenset({common})
    return alike if sum(words[word] for word in alike) > MOST * len(names) else frozenset()


@cache  # few names, each of many images
def _word_of(name: str) -> str | None:
    match = _NUMBERED.fullmatch(name.strip())
    return match[1].lower() if match else None


def _question(levels: Mapping[int, Sequence[str]], level: int) -> str:
    pattern = "^" + "[^/]+/" * level + "([^/]+)/"
    return f"the folders {_shown(levels[level])} may be subjects: --group '{pattern}' if they are, --group none if not"


def _shown(names: Collection[str]) -> str:
    found = sorted(set(names) - {""})
    return ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
