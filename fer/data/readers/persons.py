"""Which folders of a data set are persons: those that are numbered alike. Words may mean anything: the user says."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from fer.data.listing import MOST

_NUMBERED = re.compile(r"([a-z]{0,12})[\s._-]*\d{1,6}", re.IGNORECASE)
# Words before a number that say what it counts.
_PERSON = re.compile(r"s|p|f|m|id|pt|sub|subj|subject|person|actor|participant|user")
_OTHER = re.compile(
    r"take|seq|sequence|session|clip|trial|fold|part|batch|set|cam|camera|view|angle|pose|yaw|frames?|video|chunk|folder|"
    r"dir|group|level|intensity|version|v|vol|size|light|day|run|scene|shot"
)


class Persons(NamedTuple):
    """Attributes:
    groups: the person of each image; empty where none is known.
    note: a line that says which folders were taken as persons.
    question: a line for folders that may be persons or not; "" where there are none.
    """

    groups: list[str]
    note: str = ""
    question: str = ""


def of_folders(folders: Sequence[tuple[str, ...]], at_class: int, at_split: frozenset[int]) -> Persons:
    """The persons that the folders around the classes tell.

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
    if len(numbered) > 1:  # a word tells the persons from the rest
        numbered = [level for level in numbered if _PERSON.fullmatch(words[level] or "")] or numbered
    if len(numbered) == 1:
        names = levels[numbered[0]]
        note = f"{len(set(names) - {''}):,} folders are taken as persons: {_shown(names)} (else --group none)"
        odd = {name for name in names if not _NUMBERED.fullmatch(name.strip())}
        outside = f"{names.count(''):,} images in none of them" if "" in odd else ""
        named = f"{_shown(odd)} beside them" if odd - {""} else ""
        return Persons(names, "; ".join(filter(None, [note, named, outside])))
    unclear = numbered or [level for level, word in words.items() if level < at_class or word]
    return Persons([], question=_question(levels, unclear[0]) if unclear else "")


def _word(names: Sequence[str]) -> str | None:
    """The word before the numbers, where most images lie in folders that are numbered alike; else None. F01 and M01
    are alike."""
    matches = {name: _NUMBERED.fullmatch(name.strip()) for name in set(names)}
    if sum(matches[name] is not None for name in names) <= MOST * len(names):
        return None
    words = {match[1].lower() for match in matches.values() if match}
    return min(words) if len(words) == 1 or all(map(_PERSON.fullmatch, words)) else None


def _question(levels: Mapping[int, Sequence[str]], level: int) -> str:
    pattern = "^" + "[^/]+/" * level + "([^/]+)/"
    return f"the folders {_shown(levels[level])} may be persons: --group '{pattern}' if they are, --group none if not"


def _shown(names: Collection[str]) -> str:
    found = sorted(set(names) - {""})
    return ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
