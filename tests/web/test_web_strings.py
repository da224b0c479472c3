"""The words of the page stand in strings.json alone; translations are checked and served."""

import json
import re
from html.parser import HTMLParser

import pytest
from support import web
from support.web import connect

from fer.core.errors import FerError
from fer.web.strings import ENGLISH, STATIC, read_strings

WORDY = {"alt", "aria-label", "content", "data-empty", "placeholder", "title"}  # attributes that people read or hear
PAGES = ("index.html", "login.html")


class Words(HTMLParser):
    """What people see of an HTML file, texts and attributes."""

    def __init__(self, path):
        super().__init__()
        self.found = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if named.get("name") not in ("viewport", "color-scheme"):
            self.found += [value for name, value in attrs if name in WORDY and value]

    def handle_data(self, data):
        self.found.append(data)


def texts_of_scripts():
    return {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}


@pytest.mark.parametrize("page", PAGES)
def test_html_holds_no_words(page):
    for words in Words(STATIC / page).found:
        rest = re.sub(r"\$\{\w+\}", "", words)
        assert not re.search(r"[A-Za-z]{2}", rest), words


def test_scripts_hold_no_sentences():
    """A literal with two words in a row is a sentence, but for selectors, fonts and code."""
    for name, script in texts_of_scripts().items():
        code = re.sub(r"^\s*//.*|\s//.*", "", script, flags=re.MULTILINE)
        for literal in re.findall(r'"([^"\n]*)"|`([^`]*)`', code):
            words = re.sub(r"\$\{[^}]*\}", "", "".join(literal))
            if re.match(r"[.#]|section|thead|600 |curl|export", words):
                continue
            assert not re.search(r"[A-Za-z]{2,}[,;]? [a-z]{2,}", words), (name, words)


def test_every_key_is_used_and_known():
    used = set()
    for page in PAGES:
        used |= set(re.findall(r"\$\{(\w+)\}", (STATIC / page).read_text(encoding="utf-8")))
    scripts = "".join(texts_of_scripts().values())
    used |= set(re.findall(r'\btext\((?:[^()]*\? )?"(\w+)"', scripts))
    known = set(read_strings())
    assert used <= known
    assert {key for key in known - used if f'"{key}"' not in scripts} <= {"video_failed"}  # by state


@pytest.fixture
def translation(tmp_path):
    """translation(key=words): the path of a translation; None leaves the key out."""

    def write(**changes):
        path = tmp_path / "strings.json"
        strings = {key: value for key, value in (read_strings() | changes).items() if value is not None}
        path.write_text(json.dumps(strings), encoding="utf-8")
        return path

    return write


def test_translation_is_served(translation):
    path = translation(language="de", start_webcam="Webcam <starten>", log_in="Anmelden")
    token = "0123456789abcdef"
    with connect(strings=path, token=token) as client:
        assert "Anmelden" in client.get("/login").text
        client.headers["Authorization"] = f"Bearer {token}"
        page = client.get("/").text
        assert '<html lang="de">' in page
        assert "Webcam &lt;starten&gt;" in page
        assert client.get("/static/strings.json").json()["start_webcam"] == "Webcam <starten>"
    with connect() as client:
        assert client.get("/static/strings.json").json() == json.loads(ENGLISH.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stop": None}, "keys differ.*: stop"),
        ({"halt": "Halt"}, "keys differ.*: halt"),
        ({"stop": 7}, "stop needs words"),
        ({"language": "de_DE"}, "language must be a tag such as de or pt-BR"),
        ({"stop": " "}, "stop needs words"),
        ({"faces_found": "{count} Gesichter"}, "faces_found needs plural forms"),
        ({"faces_found": {"one": "ein Gesicht"}}, "faces_found needs plural forms"),
        ({"kept_as": "Als {etikett} behalten"}, "kept_as has no value for {etikett}"),
    ],
)
def test_bad_translations_are_refused(translation, changes, words):
    with pytest.raises(FerError, match=words):
        read_strings(translation(**changes))


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be opened"), (b"\xff", "not a text file"), (b"{", "is not JSON"), (b"[]", "expected")],
)
def test_other_files_are_refused(tmp_path, content, words):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FerError, match=words):
        web.application(limits=web.Limits(), strings=path)
