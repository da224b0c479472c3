"""Model cards: one screen each, with the same headings; evaluation/test_card.py compares them with the files."""

import re
import subprocess
import textwrap

import pytest

from fer.models.bundled import FOLDER, bundled_models

NAMES = sorted(bundled_models())
HEADINGS = ("Details", "Intended use", "Data", "Results", "Limits", "Licence")


def card(name):
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_card_of_one_screen_with_the_same_headings(name):
    text = card(name)
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == list(HEADINGS)
    folded = [part for line in text.splitlines() for part in textwrap.wrap(line, 120) or [""]]
    assert len(folded) <= 64  # lines of 120 characters: one screen


def figures(name):
    """Accuracy with its interval, without duplicates, with flip, and of the int8 file, as the card has them."""
    text = card(name)
    rows = dict(re.findall(r"^\| (none|flip|none, `\S+`) \| ([^|]+) \|", text, flags=re.MULTILINE))
    (without,) = re.findall(r"near-duplicate in training: ([\d.]+ %)", text)
    int8 = rows.get(f"none, `{name}.tflite`", "").partition(" (")[0]
    return rows["none"], without, rows["flip"].partition(" (")[0], int8


@pytest.mark.parametrize("page", ["README.md", "models/README.md", "docs/results.md"])
@pytest.mark.parametrize("name", NAMES)
def test_tables_of_the_pages_have_the_figures_of_the_cards(name, page):
    lines = (FOLDER.parent / page).read_text(encoding="utf-8").replace("**", "").splitlines()
    own = next(line for line in lines if line.startswith(("| [" + name + "]", "| [`" + name + "`]")))
    exported = next((line for line in lines if line.startswith(f"| `{name}.tflite`, int8")), "")
    accuracy, without, flip, int8 = figures(name)
    assert accuracy in own
    assert f"| {without}" in own
    assert page == "models/README.md" or flip in own
    assert int8 in own + exported


@pytest.mark.parametrize("name", ["README.md", *(f"{name}.md" for name in NAMES)])
def test_links_lead_somewhere(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (FOLDER / link).exists()] == []


def test_the_table_of_models_is_complete():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"[{name}]({name}.md)" not in text] == []
    assert len(text.splitlines()) <= 45


def test_the_script_that_made_them_is_valid_shell():
    subprocess.run(["sh", "-n", FOLDER / "reproduce.sh"], check=True)
