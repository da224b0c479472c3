"""The documentation: links lead somewhere, the README stays short, and its commands exist."""

import re
import shlex
from importlib import import_module

import pytest
from support import tiny

from fer.cli import COMMANDS

PAGES = sorted(
    path.relative_to(tiny.ROOT).as_posix()
    for folder in (".", "docs", "models", "data", "tests")
    for path in (tiny.ROOT / folder).glob("*.md")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = tiny.ROOT / page
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), link


def test_index_lists_every_page():
    index = (tiny.ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (tiny.ROOT / "docs").glob("*.md") if f"({path.name})" not in index] == ["README.md"]


def test_readme_is_short_and_has_two_set_up_commands():
    lines = (tiny.ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert len([line for line in lines if "-m venv" in line]) == 2


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("tests")])
def test_commands_of_the_pages_exist(page):
    text = (tiny.ROOT / page).read_text(encoding="utf-8")
    scripts = re.findall(r"^    (?:\S+ )*?python ((?:benchmarks/)?\w+\.py)", text, flags=re.MULTILINE)
    assert [script for script in scripts if not (tiny.ROOT / script).is_file()] == []
    commands = re.findall(r"^    (?:python -m )?fer ([a-z-]+)", text, flags=re.MULTILINE)
    assert [command for command in commands if command not in COMMANDS] == []


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("tests")])
def test_arguments_of_the_commands_are_understood(page, capsys):
    text = (tiny.ROOT / page).read_text(encoding="utf-8")
    for script, rest in re.findall(r"^ *(?:\w+=\S+ )*python (\w+)\.py ?(.*)$", text, flags=re.MULTILINE):
        if script.replace("_", "-") not in COMMANDS or re.search(r"\.\.\.|[$;>|]|OWNER", rest):
            continue  # a part is left out, or it is for a shell
        try:
            import_module(f"fer.cli.{script}").parse_args(shlex.split(rest, comments=True))
        except SystemExit as stopped:
            if stopped.code:  # not --help, --list-recipes and the like
                pytest.fail(f"{script}.py {rest}: {capsys.readouterr().err}")


def test_the_layout_names_what_there_is():
    """The table of docs/design.md, and its paths of where to add something."""
    text = (tiny.ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text.partition("## Types")[0], re.MULTILINE)
    packages = {folder.parent.name for folder in (tiny.ROOT / "fer").glob("*/__init__.py")}
    assert {package for package, _ in rows} == packages
    for package, modules in rows:
        there = {path.stem for path in (tiny.ROOT / "fer" / package).iterdir()}
        for name in re.findall(r"`([a-z_]+)/?`", modules):
            assert name in there, f"{package}/{name}"
    for path in re.findall(r"`(fer/[\w/.]+\.py)`", text):
        assert (tiny.ROOT / path).exists(), path


def test_every_cited_paper_is_in_the_references():
    references = (tiny.ROOT / "docs" / "references.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^- ([\w-]+).*? (\d{4}),", references, flags=re.MULTILINE))
    cite = re.compile(r"([A-Z][\w-]+)(?: et al\.| (?:&|and)\s+[A-Z][\w-]+),?\s+\(?((?:19|20)\d\d)\b")
    cited = set()
    for path in [*(tiny.ROOT / "fer").rglob("*.py"), *(tiny.ROOT / "docs").glob("*.md"), tiny.ROOT / "README.md"]:
        cited.update(cite.findall(path.read_text(encoding="utf-8")))
    assert len(cited) > 25
    assert cited - known == set()
