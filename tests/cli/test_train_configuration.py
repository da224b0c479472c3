"""What a training keeps of its flags: run.json in the run folder, and notes in the model."""

import dataclasses
import json
import re
import subprocess

import pytest
from support import layouts
from support.tiny import configure

from fer import FerError
from fer.training.config import TrainingConfig, environment
from fer.training.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_run_json_holds_everything_that_was_asked_and_where_it_ran(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "--data", "two words", "--epochs", "5"])
    config = configure("--data", "two words", "--epochs", "5")
    config.write()
    about = json.loads(config.path.read_text(encoding="utf-8"))
    assert about["configuration"] == json.loads(json.dumps(dataclasses.asdict(config)))
    assert about["configuration"]["recipe"]["epochs"] == 5
    assert about["command"] == "python train.py --data 'two words' --epochs 5"
    assert {"python", "keras", "tensorflow", "numpy"} <= about["versions"].keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", about["date"])
    assert about["revision"] is None or re.match(r"[0-9a-f]{7,}", about["revision"])


def test_the_revision_is_not_that_of_a_repository_around_the_environment(tmp_path, monkeypatch):
    place = tmp_path / ".venv" / "config.py"
    place.parent.mkdir()
    place.write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "mine.txt").write_text("")
    for words in (["init", "-q"], ["add", "mine.txt"], ["commit", "-q", "-m", "mine"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr("fer.training.config.__file__", str(place))
    assert environment()["revision"] is None
    for words in (["add", "-f", ".venv/config.py"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    assert re.fullmatch("[0-9a-f]{7,}", environment()["revision"])


@pytest.mark.parametrize(
    ("data", "kept"),
    [("/home/someone/secret/fer2013", "fer2013"), ("demo", "demo"), ("kaggle:someone/faces", "kaggle:someone/faces")],
)
def test_notes_in_the_model_tell_the_data_but_no_folder_above_them(data, kept):
    notes = TrainingConfig(RECIPES["plain"], data=data, output="/home/someone/x.keras").metadata()
    assert notes["data"] == kept
    assert notes["recipe"]["name"] == "plain"
    assert "someone/secret" not in json.dumps(notes)
    assert not {"command", "run_dir", "output"} & notes.keys()


def test_teachers_are_kept_and_named_without_their_folders(tmp_path):
    config = configure("--teacher", "a/one.keras", "b/two.keras")
    assert config.teacher == ("a/one.keras", "b/two.keras")
    assert config.metadata()["teachers"] == ["one.keras", "two.keras"]
    config.write()
    resumed = configure("--resume", "--run-dir", config.run_dir)
    assert resumed.teacher == config.teacher


def test_the_notes_name_the_model_a_training_began_with():
    assert TrainingConfig(RECIPES["vgg"], init="/home/someone/first.keras").metadata()["init"] == "first.keras"
    assert TrainingConfig(RECIPES["vgg"]).metadata()["init"] is None


@pytest.mark.parametrize(
    ("recipe", "mode"),
    [("fer2013", "mixed"), ("fer2013-fast", "mixed"), ("ferplus", "shares"), ("four-block-wide", "majority")],
)
def test_a_recipe_says_what_becomes_of_votes(recipe, mode):
    command = ("--data", "fer2013.csv", "--votes", "fer2013new.csv", "--recipe", recipe)
    assert configure(*command, "--output", f"models/{recipe}.keras").metadata()["votes"] == mode
    assert configure(*command, "--vote-mode", "shares").metadata()["votes"] == "shares"
    assert configure("--data", "fer2013/", "--recipe", recipe).metadata()["votes"] is None


def test_runs_of_earlier_versions_have_their_vote_mode_outside_the_recipe(tmp_path):
    config = configure("--data", "a.csv", "--votes", "v.csv", "--vote-mode", "mixed", "--run-dir", str(tmp_path))
    config.write()
    content = json.loads(config.path.read_text())
    content["configuration"]["vote_mode"] = content["configuration"]["recipe"].pop("vote_mode")
    config.path.write_text(json.dumps(content))
    assert config.stored() == config


def test_folders_with_votes_of_their_own_take_a_vote_mode(tmp_path):
    root = layouts.ferplus(tmp_path / "ferplus")
    config = configure("--data", str(root), "--vote-mode", "majority", "--run-dir", str(tmp_path / "a"))
    assert config.recipe.vote_mode == "majority"
    assert config.metadata()["votes"] == "majority"
    layouts.folders(tmp_path / "faces", ["happy", "sad"])
    with pytest.raises(FerError, match="--vote-mode has no effect without --votes"):
        configure("--data", str(tmp_path / "faces"), "--vote-mode", "shares")
