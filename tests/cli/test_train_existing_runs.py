"""train.py and runs that are already there: what is resumed, refused or replaced."""

import json

import pytest
from support.tiny import configure

from fer import FerError

pytestmark = pytest.mark.usefixtures("elsewhere")


def start_a_run(*arguments):
    config = configure(*arguments)
    config.write()
    return config


def test_a_run_that_is_there_is_neither_continued_nor_replaced_unasked(elsewhere):
    config = start_a_run("--run-dir", "mine")
    with pytest.raises(FerError, match=r"mine/run.json exists: go on with --resume, start again with --overwrite"):
        configure("--run-dir", "mine")
    assert configure("--run-dir", "mine", "--overwrite") == config
    assert configure("--run-dir", "mine", "--resume") == config


def test_a_model_that_is_there_is_not_replaced_unasked(elsewhere):
    (elsewhere / "best.keras").write_bytes(b"precious")
    with pytest.raises(FerError, match=r"^best.keras exists"):
        configure("--output", "best.keras")
    assert configure("--output", "best.keras", "--overwrite").output == "best.keras"
    assert (elsewhere / "best.keras").read_bytes() == b"precious"


def test_a_diagram_needs_no_free_place():
    start_a_run("--run-dir", "mine")
    assert configure("--run-dir", "mine", "--diagram", "network.png").run_dir == "mine"


RUN = (
    "--run-dir",
    "mine",
    "--recipe",
    "plain",
    "--data",
    "faces",
    "--dropout",
    "0.1,0.2",
    "--seed",
    "5",
    "--flip",
    "--ema",
    "0.9",
)


def test_resume_takes_every_setting_from_the_run():
    config = start_a_run(*RUN)
    again = configure("--resume", "--run-dir", "mine")
    assert again == config
    assert again.recipe.dropout == (0.1, 0.2)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--recipe", "plain"],
        ["--data", "faces/"],
        ["--run-dir", "mine/"],
        ["--dropout", "0.1,0.2"],
        ["--augment"],
        ["--flip"],
        ["--output", "mine/model.keras"],
        ["--seed", "5"],
    ],
)
def test_resume_with_flags_that_agree(arguments):
    config = start_a_run(*RUN)
    assert configure("--resume", "--run-dir", "mine", *arguments) == config


@pytest.mark.parametrize(
    ("arguments", "had"),
    [
        (["--recipe", "four-block-rgb"], "plain"),
        (["--data", "other"], "faces"),
        (["--seed", "6"], "5"),
        (["--learning-rate", "0.5"], "0.001"),
        (["--dropout", "0.1"], r"\(0.1, 0.2\)"),
        (["--no-flip"], "True"),
        (["--no-augment"], "True"),
        (["--epochs", "200"], "100"),
        (["--precision", "float32"], "auto"),
        (["--output", "other.keras"], "mine/model.keras"),
        (["--votes", "v.csv"], "None"),
        (["--init", "old.keras"], "None"),
    ],
)
def test_resume_refuses_a_flag_that_contradicts_the_run(arguments, had):
    start_a_run(*RUN)
    with pytest.raises(FerError, match=f"^{arguments[0]} .*contradicts the run in mine, which has {had}"):
        configure("--resume", "--run-dir", "mine", *arguments)


def test_data_that_have_moved_are_named_again():
    start_a_run(*RUN)
    config = configure("--resume", "--run-dir", "mine", "--data", "/elsewhere/faces")
    assert config.data == "/elsewhere/faces"
    config.write_changes()
    assert configure("--resume", "--run-dir", "mine") == config


def test_resume_names_the_run_it_did_not_find(elsewhere):
    with pytest.raises(
        FerError, match=r"nowhere/run.json: there is no run to resume; name it with --run-dir or --output"
    ):
        configure("--resume", "--run-dir", "nowhere")
    (elsewhere / "file").write_text("x")
    with pytest.raises(FerError, match=r"file/run.json: there is no run to resume"):
        configure("--resume", "--run-dir", "file")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "{}", "\udcff", '{"configuration": 3}', '{"configuration": {"recipe": 3}}'),
        '{"configuration": {"recipe": {"name": "x"}}}',
    ],
)
def test_a_damaged_run_json_is_refused(elsewhere, text):
    path = elsewhere / "mine" / "run.json"
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FerError, match=r"mine/run.json: not the configuration of a run"):
        configure("--resume", "--run-dir", "mine")


def test_a_run_of_an_earlier_version_resumes(elsewhere):
    config = start_a_run("--recipe", "four-block-rgb", "--run-dir", "mine")
    content = json.loads(config.path.read_text())
    content["configuration"]["recipe"] |= {"name": "rgb", "network": "rgb", "growth": [], "average_twins": False}
    del (
        content["configuration"]["recipe"]["progressive_sizes"],
        content["configuration"]["recipe"]["average_duplicates"],
    )
    content["configuration"]["refit"] = False
    config.path.write_text(json.dumps(content))
    assert configure("--resume", "--run-dir", "mine", "--recipe", "rgb") == config
