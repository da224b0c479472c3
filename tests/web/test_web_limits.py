"""Limits: each field of the dataclass is a flag of app.py."""

from dataclasses import fields

import pytest

from fer.cli import app
from fer.web.limits import Limits, limits_from


def test_without_flags_the_limits_are_the_defaults():
    assert limits_from(app.parse_args([])) == Limits()


@pytest.mark.parametrize("name", [limit.name for limit in fields(Limits)])
def test_each_limit_is_a_flag(name):
    flag = f"--{name.replace('_', '-')}"
    assert getattr(limits_from(app.parse_args([flag, "3"])), name) == 3


def test_each_limit_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        app.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for limit in fields(Limits):
        assert limit.metadata["help"] in text


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "many", ""])
def test_bad_values_are_refused(value, capsys):
    with pytest.raises(SystemExit):
        app.parse_args(["--image-seconds", value])
    assert "--image-seconds" in capsys.readouterr().err


def test_old_flag_for_host_names():
    assert app.parse_args(["--name", "a", "--allowed-host", "b"]).allowed_host == ["a", "b"]


def test_only_explanations_may_be_none(capsys):
    assert limits_from(app.parse_args(["--explanations-per-minute", "0"])).explanations_per_minute == 0
    for flag in ("--images", "--explanations-per-minute"):
        with pytest.raises(SystemExit):
            app.parse_args([flag, "-1" if "explan" in flag else "0"])
    assert "must be more than 0, not 0" in capsys.readouterr().err


def test_limits_shown_to_clients_have_their_values():
    shown = Limits(image_bytes=5).shown()
    assert shown["image_bytes"] == 5
    of_videos = {"video_bytes", "video_seconds", "video_keep_seconds"}
    assert set(shown) == {"image_bytes", "image_pixels", "explained_faces", "idle_seconds", *of_videos}
