"""Model cards: one screen each, with the same headings; evaluation/test_card.py compares them with the files."""

import re
import subprocess

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
    assert len(text.splitlines()) <= 48


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
