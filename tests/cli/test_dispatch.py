"""`fer COMMAND`: every command is found, and an unknown one is refused."""

import subprocess
import sys

import pytest
from support import tiny

from fer import __version__, cli


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "fer", *arguments], capture_output=True, text=True, cwd=tiny.ROOT)


def modules() -> set[str]:
    folder = tiny.ROOT / "fer" / "cli"
    commands = [path.stem for path in folder.glob("*.py") if "\ndef main(" in path.read_text(encoding="utf-8")]
    return {name.replace("_", "-") for name in commands} - {"--init--"}


def test_every_command_is_listed():
    assert modules() == set(cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_names_the_command(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fer"])
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: fer {name}" in text
    assert f"\n    fer {name}" in text  # the examples
    assert f"{name.replace('-', '_')}.py" not in text


def test_underscores_stand_for_hyphens(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fer"])
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict_folder", "--help"])
    assert ended.value.code == 0
    assert "usage: fer predict-folder" in capsys.readouterr().out


def test_module_runs_commands():
    assert run("--version").stdout == f"{__version__}\n"
    assert "predict-webcam" in run("--help").stdout
    assert run().returncode == 2


def test_unknown_command_is_refused():
    ended = run("trian")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: trian: no such command; choose one of train, evaluate")
    assert len(ended.stderr.splitlines()) == 1
