"""How a script ends, and what reaches the screen on the way."""

import argparse
import os

import pytest

from fer import FerError
from fer.cli import arguments, terminal


def ended(main, capfd):
    """(exit code, stderr) of a script with this main."""
    with pytest.raises(SystemExit) as caught:
        terminal.run(lambda args: main(), lambda: None)
    return caught.value.code, capfd.readouterr().err


def fail(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize("code", [0, 1, 130, None])
def test_a_script_ends_with_the_code_of_its_main(capfd, code):
    assert ended(lambda: code, capfd) == (code, "")


def test_an_error_of_the_user_is_one_line_and_code_2(capfd):
    assert ended(fail(FerError("x.keras: there is no such model file")), capfd) == (
        2,
        "error: x.keras: there is no such model file\n",
    )


def test_an_error_in_the_arguments_is_treated_alike(capfd):
    with pytest.raises(SystemExit) as caught:
        terminal.run(lambda args: 0, fail(FerError("no such recipe")))
    assert caught.value.code == 2
    assert capfd.readouterr().err == "error: no such recipe\n"


def test_ctrl_c_is_one_word_and_code_130(capfd):
    assert ended(fail(KeyboardInterrupt()), capfd) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("bogus", "must be one of tensorflow, jax, torch, not 'bogus'"),
        ("torch", "KERAS_BACKEND=torch: torch is not inst"),
    ],
)
def test_a_backend_that_is_not_there_is_one_line_and_code_2(backend, said, monkeypatch, capfd):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(terminal, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        terminal.run(lambda args: 0, lambda: None)
    assert ended.value.code == 2
    assert said in capfd.readouterr().err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError, match="a bug"):
        terminal.run(lambda args: fail(ZeroDivisionError("a bug"))(), lambda: None)


def note(text):
    """Writes to stderr as C++ code does, past Python's own stream."""
    os.write(2, text.encode())


def test_quiet_keeps_notes_off_the_screen_and_gives_stderr_back(capfd):
    with terminal.quiet():
        note("I0000 oneDNN custom operations are on\n")
    note("heard")
    assert capfd.readouterr().err == "heard"


def test_quiet_shows_the_notes_if_a_bug_follows(capfd):
    def work():
        note("libcudart.so is missing\n")
        raise ImportError("tensorflow")

    with pytest.raises(ImportError, match="tensorflow"), terminal.quiet():
        work()
    note("heard")
    assert capfd.readouterr().err == "libcudart.so is missing\nheard"


def test_quiet_hides_them_behind_an_error_that_explains_itself(capfd):
    def work():
        note("noise\n")
        raise FerError("x.keras: not a Keras file")

    with pytest.raises(FerError), terminal.quiet():
        work()
    assert capfd.readouterr().err == ""


def test_quiet_leaves_no_file_open():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for _ in range(5):
        with terminal.quiet():
            note("x")
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_progress_passes_everything_on_and_stays_silent_in_a_log(capfd):
    assert list(terminal.progress(iter("abc"), 3, "train")) == ["a", "b", "c"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "x", ""])
def test_numbers_below_the_least_are_refused(text):
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        arguments.at_least(float, 0)(text)
    assert arguments.at_least(int, 1)("1") == 1
