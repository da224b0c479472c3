"""models/reproduce.sh: its commands are ones that train.py understands."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from fer.cli import evaluate, export_model, train
from fer.cli.train_arguments import resolve
from fer.models.bundled import FOLDER

SCRIPT = FOLDER / "reproduce.sh"


def commands(folder, *words):
    """The commands that the script gives to python, which does nothing here."""
    fake = folder / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done >> said\necho >> said\n')
    fake.chmod(0o755)
    environment = os.environ | {"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", SCRIPT, *words], cwd=folder, env=environment, check=True)
    return [text.split("\n") for text in (folder / "said").read_text().strip().split("\n\n")]


@pytest.mark.parametrize(
    ("mode", "trainings"), [((), 5), (("chain",), 11), (("reference",), 4), (("gpu",), 8), (("rehearse",), 8)]
)
def test_every_training_is_understood(mode, trainings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("fer2013.csv", "fer2013new.csv"):  # of which the rehearsal takes some rows
        Path(name).write_text("".join(f"line {number} of {name}\n" for number in range(1, 30_000)))
    trained, exported = set(), set()
    for program, *words in commands(tmp_path, *mode):
        needed = set()
        if program == "train.py":
            assert not {"--resume", "--overwrite"} & set(words)  # nothing to go on with
            config = resolve(train.parse_args(words))
            assert config.recipe.epochs == 1 or mode != ("rehearse",)
            needed = {config.init, *config.teacher} - {None}
        elif program == "export_model.py":
            needed = {export_model.parse_args(words).model}
        elif program == "evaluate.py":
            needed = set(evaluate.parse_args(words).model)
        assert needed <= trained | exported, shlex.join(words)  # made by earlier commands
        if program == "train.py":
            trained.add(config.output)
        elif program == "export_model.py":
            exported.add(export_model.parse_args(words).output)
    assert len(trained) == trainings
    if mode == ("rehearse",):
        lines = Path("rehearsal/fer2013new.csv").read_text().splitlines()
        assert [len(lines), *lines[800:802]] == [1001, "line 801 of fer2013new.csv", "line 28711 of fer2013new.csv"]


def test_it_goes_on_where_it_stopped(tmp_path):
    """The first two trainings have checkpoints, the third was stopped in its first epoch, the others have models."""
    there = ("begun/run.json", "begun/checkpoint.npz", "four-block/checkpoint.npz", "default/run.json", "one/run.json")
    for name in there:
        path = tmp_path / "runs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "reproduced").mkdir()
    for name in ("one", "eight"):
        (tmp_path / "reproduced" / f"{name}.keras").touch()  # train.py refuses to replace them
    trainings = [words for program, *words in commands(tmp_path) if program == "train.py"]
    ways = {Path(words[-1]).stem: {"--resume", "--overwrite"} & set(words) for words in trainings}
    assert ways == {
        **{"begun": {"--resume"}, "four-block": {"--resume"}, "default": {"--overwrite"}, "one": set(), "eight": set()}
    }


def test_an_unknown_part_is_refused(tmp_path):
    done = subprocess.run(["sh", SCRIPT, "everything"], cwd=tmp_path, capture_output=True, text=True)
    usage = "usage: sh models/reproduce.sh [single|chain|reference|gpu|rehearse]\n"
    assert (done.returncode, done.stderr) == (2, usage)
    assert list(tmp_path.iterdir()) == []
