"""The words of the page: `static/strings.json`, or a translation of it."""

import html
import json
import re
from pathlib import Path
from string import Template

from fer.core.errors import FerError
from fer.core.files import read_text

STATIC = Path(__file__).parent / "static"
ENGLISH = STATIC / "strings.json"

# Key -> words with {names} in place of values; or, where a number decides, plural form ("one", "other", ...) -> words.
Strings = dict[str, str | dict[str, str]]


def read_strings(path: str | Path | None = None) -> Strings:
    """Reads the words of the page.

    Args:
        path: a translation of `ENGLISH`, with the same keys and the same {names}; None takes the English words.

    Raises:
        FerError: the file cannot be read, or keys or names differ.
    """
    english = json.loads(ENGLISH.read_text(encoding="utf-8"))
    if path is None:
        return english
    text = read_text(path)
    try:
        strings = json.loads(text)
    except ValueError as error:
        raise FerError(f"{path}: is not JSON ({error})") from error
    if not isinstance(strings, dict):
        raise FerError(f"{path}: expected an object of keys and words, as in {ENGLISH}")
    if differing := sorted(strings.keys() ^ english.keys()):
        raise FerError(f"{path}: its keys differ from those of {ENGLISH}: {', '.join(differing[:5])}")
    if not re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", str(strings["language"])):
        raise FerError(f"{path}: language must be a tag such as de or pt-BR (BCP 47), not {strings['language']!r}")
    for key, words in english.items():
        _check(path, key, strings[key], words)
    return strings


def fill(page: Path, strings: Strings) -> str:
    """The text of an HTML file with the words in place of ${keys}."""
    words = {key: html.escape(value) for key, value in strings.items() if isinstance(value, str)}
    return Template(page.read_text(encoding="utf-8")).substitute(words)


def _check(path: str | Path, key: str, given: object, english: str | dict[str, str]) -> None:
    """Raises FerError unless the words of a key have the English ones' kind and names."""
    if isinstance(english, str):
        forms = {"": given}
    elif isinstance(given, dict) and "other" in given:
        forms, english = given, english["other"]
    else:
        raise FerError(f'{path}: {key} needs plural forms, "other" among them')
    for words in forms.values():
        if not isinstance(words, str) or not words.strip():
            raise FerError(f"{path}: {key} needs words")
        if unknown := _names(words) - _names(english):
            raise FerError(f"{path}: {key} has no value for {{{'}, {'.join(sorted(unknown))}}}")


def _names(words: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", words))
