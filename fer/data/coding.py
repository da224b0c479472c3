"""What a data set calls its classes, and which emotion each of them is. A number is never guessed."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fer.core.errors import FerError
from fer.core.files import read_text
from fer.core.labels import AFFECTNET, ALPHABETICAL, EMOTIONS, FER2013, FERPLUS, canonical, is_emotion

OWN = "own"  # accept the names as they are
LEFT_OUT = ""  # the label of what a coding leaves out


def _numbered(names: Iterable[str], first: int = 0) -> dict[str, str]:
    return {str(code): name for code, name in enumerate(names, first)}


RAF_DB = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
# As the publishers number them: docs/data.md.
CODINGS: dict[str, dict[str, str]] = {
    "fer2013": _numbered(FER2013),
    "ferplus": _numbered(FERPLUS),
    "raf-db": _numbered(RAF_DB, 1),
    "raf-db-0": _numbered(RAF_DB),  # copies in folders 0 to 6
    "affectnet": {
        **_numbered(AFFECTNET),
        **dict.fromkeys(("8", "9", "10"), LEFT_OUT),  # none, uncertain, no face
    },
    "affectnet-yolo": _numbered(ALPHABETICAL),
    "ck+": _numbered(("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")),
    "ckextended": _numbered((*FER2013, "contempt")),
}
LETTERS = {"an": "angry", "di": "disgust", "fe": "fear", "ha": "happy", "ne": "neutral", "sa": "sad", "su": "surprise"}
LETTERS |= {"af": "fear"}  # KDEF's afraid


def plain(name: str) -> str:
    """A class name as codings write it: trimmed, lower case; "3.0", "03" and "3.0000000e+00" are "3"."""
    name = name.strip().lower()
    if re.fullmatch(r"\d+(\.\d*)?(e[+-]?\d+)?", name):
        number = float(name)
        return str(int(number)) if number == int(number) else name
    return name


def read_coding(text: str) -> dict[str, str] | str:
    """What --labels, --codes and --label-map give.

    Args:
        text: "own", the name of a coding, pairs such as "1=surprise,2=fear", or a file: lines of "1=surprise",
            "1,surprise" or "1 surprise".

    Returns:
        `OWN`, or plain class name -> canonical label, `LEFT_OUT` for what has none ("8=").

    Raises:
        FerError: none of these, or a name that is given twice.
    """
    if text in (OWN, *CODINGS):
        return text if text == OWN else CODINGS[text]
    if "=" in text and not os.path.isfile(text):  # Path.is_file raises where the text is longer than a name may be
        pairs = [part.partition("=")[::2] for part in text.split(",") if part.strip()]
    elif os.path.isfile(text):
        lines = [line.strip() for line in read_text(text).splitlines()]
        pairs = [_pair(line, text) for line in lines if line and not line.startswith("#")]
    else:
        known = ", ".join(CODINGS)
        raise FerError(f"--labels {text}: expected own, 1=surprise,2=fear,..., a file of such lines, or one of {known}")
    names = Counter(plain(name) for name, _ in pairs)
    if twice := [name.strip() for name, _ in pairs if names[plain(name)] > 1]:
        raise FerError(f"--labels {text}: {twice[-1]!r} is given twice")
    return normalized(dict(pairs))


def normalized(labels: Mapping[Any, str]) -> dict[str, str]:
    """A mapping of class names or numbers to labels, in the form that `read_coding` returns."""
    return {plain(str(name)): canonical(label) if label.strip() else LEFT_OUT for name, label in labels.items()}


def _pair(line: str, path: str) -> tuple[str, str]:
    sign = r"[=,;:\t]" if re.search(r"[=,;:\t]", line) else r"\s"  # "very happy=happy" has a blank in its name
    found = re.fullmatch(rf"(.+?)\s*{sign}\s*(\S.*)?", line)
    if not found:
        raise FerError(f"{path}: expected lines such as 1=surprise; found {line!r}")
    return found[1], found[2] or ""


def decode_names(
    names: Collection[str],
    source: str | Path,
    *,
    given: Mapping[str, str] | str | None,
    own: Mapping[str, str] | None,
    drop: Collection[str] = (),
    hint: str = "",
) -> dict[str, str]:
    """The label of every class name of a data set.

    Args:
        names: the class names, as the data set writes them.
        source: the data set, for messages.
        given: by the user: what `read_coding` returns.
        own: the coding that the form of the data set implies.
        drop: names or labels that are left out.
        hint: where else the labels may be, for the message.

    Returns:
        Class name -> canonical label, or `LEFT_OUT`.

    Raises:
        FerError: names that are not emotions and that no coding explains.
    """
    found, unknown = {}, []
    dropped = {canonical(name) for name in drop} | {plain(name) for name in drop}
    codings = codings_for(given, own)
    for name in names:
        label = next((coding[plain(name)] for coding in codings if plain(name) in coding), None)
        if label is None and (is_emotion(name) or given == OWN):
            label = canonical(name)
        if plain(name) in dropped or label in dropped:
            label = LEFT_OUT
        if label is None:
            unknown.append(name)
        else:
            found[name] = label
    if unknown:
        raise FerError("; ".join(filter(None, [f"{source}: {_explain(unknown, found)}", hint])))
    return found


def codings_for(given: Mapping[str, str] | str | None, own: Mapping[str, str] | None) -> list[Mapping[str, str]]:
    """Where class names are looked up, in this order; arguments as of `decode_names`."""
    # A known coding holds for all numbers: one that it lacks is not looked up in another coding.
    tried = (given,) if given in CODINGS.values() else (given, own)
    return [coding for coding in tried if isinstance(coding, Mapping)]


def _explain(unknown: list[str], known: Mapping[str, str]) -> str:
    shown = ", ".join(sorted(unknown)[:8]) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
    beside = f" beside {', '.join(sorted(set(known.values()) - {LEFT_OUT}))}" if known else ""
    text = f"class names that are not emotions: {shown}{beside}"
    numbers = [plain(name) for name in unknown if plain(name).isdigit()]
    if len(numbers) == len(unknown):
        fitting = [name for name, coding in CODINGS.items() if set(numbers) <= coding.keys()]
        meanings = ", ".join(f"{CODINGS[name][numbers[0]] or 'nothing'} in {name}" for name in fitting)
        if meanings and len(unknown) <= 11:
            text += f". Numbers mean different emotions in different sets: {numbers[0]} is {meanings}"
        else:
            text += ". They look like subjects, ages or sequences"
    elif len(unknown) > 2 * len(EMOTIONS):
        text += ". They look like subjects or sequences"
    first = sorted(unknown)[0]
    near = get_close_matches(canonical(first), EMOTIONS, n=1, cutoff=0.7)
    question = f" Is {first} {near[0]}?" if near else ""
    ways = f"--labels {first}={near[0] if near else 'LABEL'},..., --label-map FILE, --codes {'|'.join(CODINGS)}"
    return f"{text}.{question} Name them with {ways}; accept them with --labels own; leave some out with --drop-labels"
