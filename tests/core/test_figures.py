"""The figures: valid files of a sensible size, whatever the data; how they look is judged by eye."""

import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes

from fer import FerError
from fer.core import figures
from fer.evaluation import plots
from fer.evaluation.metrics import compute_report
from fer.training import curves
from fer.video import timeline

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NAN = float("nan")


@pytest.fixture
def scores():
    return random_report(LABELS)


def random_report(labels):
    rng = np.random.default_rng(0)
    k = len(labels)
    targets = np.eye(k)[rng.integers(0, k - 1, 300)]  # the last label never occurs
    powers = np.exp(rng.normal(0, 1, (300, k)) + 2 * targets)
    return compute_report(powers / powers.sum(axis=1, keepdims=True), targets, labels)


def read(path):
    """Decodes a figure, after making sure that it is the only file in its folder."""
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    image = cv2.imread(str(path))
    assert image is not None
    assert image.min() < 128 < image.max()  # something is drawn
    return image


def history(epochs):
    falling = np.linspace(1.8, 0.9, epochs)
    return {
        "loss": list(falling), "val_loss": list(falling + 0.1), "accuracy": list(1 - falling / 2),
        "val_accuracy": list(0.9 - falling / 2), "learning_rate": [1e-3] * epochs,
    }  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        history(1),
        history(60),
        {},
        {"loss": [], "val_loss": []},
        {"loss": [1.0, 0.8]},
        {"loss": [NAN, 1.0, float("inf")], "val_loss": [NAN, NAN, NAN], "val_accuracy": [NAN, 0.5, None]},
        {"learning_rate": [0.0, 1e-3, 1e-4, 1e-7]},
        {"learning_rate": [0.0]},
        {"learning_rate": np.float32([1e-3, 2e-4])},
    ],
    ids=["one epoch", "60 epochs", "nothing", "empty", "one curve", "gaps", "warm-up", "no rate", "numpy"],
)
@pytest.mark.filterwarnings("error")
def test_learning_curves_of_any_history(values, tmp_path):
    path = tmp_path / "curves.png"
    curves.learning_curves(values, path, title="four-block on fer2013.csv")
    height, width, _ = read(path).shape
    assert (width, height) == (1800, 540)


def test_learning_curves_do_not_change_the_history(tmp_path):
    values = {"learning_rate": np.array([0.0, 1e-3]), "loss": np.array([np.inf, 1.0])}
    curves.learning_curves(values, tmp_path / "curves.png")
    assert values["learning_rate"][0] == 0
    assert values["loss"][0] == np.inf


def test_learning_curves_are_quick_enough_for_every_epoch(tmp_path):
    def seconds():
        """Of the processor: the machine may be busy."""
        start = time.process_time()
        curves.learning_curves(history(100), tmp_path / "curves.png")
        return time.process_time() - start

    assert any(seconds() < 1.5 for _ in range(4))  # 0.4 to 0.7 as measured, more beside other tests


def test_the_best_epoch_is_the_lowest_loss_and_the_highest_accuracy(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(curves, "save", lambda figure, path: saved.append(figure))
    values = {"val_loss": [NAN, 1.0, 0.7, 0.9], "val_accuracy": [0.3, NAN, 0.5, 0.625]}
    curves.learning_curves(values, tmp_path / "curves.png")
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in saved[0].axes[:2]]
    assert legends == [["validation", "best 0.7, epoch 3"], ["validation", "best 0.625, epoch 4"]]


@pytest.mark.parametrize(
    "labels", [LABELS, ("fâché", "гнев", "a label nobody shortens", "5 $ or 6 $"), ("happy", "sad")], ids=len
)
@pytest.mark.filterwarnings("error")
def test_figures_of_a_report(labels, tmp_path):
    scores = random_report(labels)
    for draw in (plots.confusion_matrix, plots.reliability):
        path = tmp_path / draw.__name__ / "figure.png"  # the folder is made
        draw(scores, path, title="four-block.keras on a folder with a very long name, " * 3)
        height, width, _ = read(path).shape
        assert 500 < width < 1500
        assert 450 < height < 1500


def test_text_turns_white_on_dark_cells():
    assert plots._text_color((0.03, 0.19, 0.42, 1.0)) == "white"
    assert plots._text_color((0.97, 0.98, 1.0, 1.0)) == "black"


@pytest.mark.parametrize(
    "shape", [(0, 48, 48, 1), (1, 48, 48, 1), (9, 48, 48, 3), (200, 16, 16, 1), (3, 30, 20, 3)], ids=str
)
@pytest.mark.filterwarnings("error")
def test_contact_sheet_of_any_number_of_images(shape, tmp_path):
    path = tmp_path / "sheet.png"
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    figures.contact_sheet(images, ["true happy / predicted sad 97 %\n5$_é_$.png"] * len(images), path, title="Mistakes")
    height, width, _ = read(path).shape
    rows = -(-max(len(images), 1) // 8)
    assert 600 < width < 1800
    assert 100 * rows < height < 500 * rows


def test_contact_sheet_says_none_when_there_is_none(tmp_path):
    figures.contact_sheet(np.zeros((0, 48, 48, 1), np.uint8), [], tmp_path / "sheet" / "a.png")
    image = read(tmp_path / "sheet" / "a.png")
    rows, columns = np.nonzero(image[:, :, 0] < 200)
    assert np.ptp(columns) < 100
    assert np.ptp(rows) < 40


def test_contact_sheet_shows_bgr_in_its_true_colours(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[0, ..., 0] = 200  # blue
    images[1, ..., 2] = 200  # red
    figures.contact_sheet(images, ["blue", "red"], tmp_path / "sheet.png", columns=2)
    image = read(tmp_path / "sheet.png")
    middle = round(150 * (figures.GAP + figures.TILE / 2))
    np.testing.assert_array_equal(image[middle, middle], [200, 0, 0])
    np.testing.assert_array_equal(image[middle, middle + round(150 * (figures.GAP + figures.TILE))], [0, 0, 200])


@pytest.mark.parametrize(
    ("images", "captions", "columns", "message"),
    [
        (np.zeros((2, 8, 8, 1), np.uint8), ["one"], 8, "2 images, 1 captions"),
        (np.zeros((201, 8, 8, 1), np.uint8), [""] * 201, 8, "up to 200 images.*found 201"),
        (np.zeros((1, 8, 8, 1), np.uint8), [""], 0, "0 columns"),
        (np.zeros((1, 8, 8), np.uint8), [""], 8, r"found uint8 \(1, 8, 8\)"),
        (np.zeros((1, 8, 8, 1)), [""], 8, "found float64"),
    ],
)
def test_contact_sheet_refuses_other_arrays(images, captions, columns, message, tmp_path):
    with pytest.raises(FerError, match=message):
        figures.contact_sheet(images, captions, tmp_path / "sheet.png", columns=columns)
    assert not list(tmp_path.iterdir())


def test_captions_are_wrapped_and_cut():
    assert figures._wrapped("true happy / predicted sad 97 %\nface.png") == "true happy /\npredicted sad 97 %\nface.png"
    lines = figures._wrapped("word " * 100).split("\n")
    assert len(lines) == figures.CAPTION_LINES
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= figures.CAPTION_CHARACTERS


@pytest.mark.parametrize(("name", "head"), [("c.pdf", b"%PDF"), ("c.svg", b"<?xml"), ("c.PNG", b"\x89PNG")])
def test_the_suffix_sets_the_format(name, head, scores, tmp_path):
    plots.confusion_matrix(scores, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(head)


@pytest.mark.parametrize("name", ["c.docx", "c"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(name, scores, tmp_path):
    with pytest.raises(FerError, match=r"use \.png, \.pdf or \.svg"):
        plots.reliability(scores, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_figure_replaces_the_old_one_only_when_it_is_complete(scores, tmp_path, monkeypatch):
    path = tmp_path / "c.png"
    path.write_bytes(b"old")

    def fail(self, target, **_):
        target.write_bytes(b"half a fig")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(figures.Figure, "savefig", fail)
        with pytest.raises(FerError, match=r"c\.png: cannot be written: No space left on device"):
            plots.reliability(scores, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    plots.reliability(scores, path)
    read(path)


def test_a_file_in_place_of_the_folder_is_an_error_of_one_line(scores, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(FerError, match="cannot be written"):
        plots.reliability(scores, tmp_path / "runs" / "c.png")


def test_plots_bring_in_neither_pyplot_nor_keras():
    code = "import sys, fer.evaluation.plots; print({'matplotlib.pyplot', 'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class TestTimeline:
    LABELS = ("happy", "sad")

    def columns(self, monkeypatch, tmp_path, tracks):
        """What is drawn of each face: (k, columns), NaN where nothing is known."""
        drawn, original = [], Axes.pcolormesh

        def mesh(axes, x, y, values, **options):
            if len(values) == len(self.LABELS):  # else it is the bar that explains the colours
                drawn.append(np.array(values))
            return original(axes, x, y, values, **options)

        monkeypatch.setattr(Axes, "pcolormesh", mesh)
        timeline.timeline(tracks, self.LABELS, tmp_path / "t.png", title="a video")
        assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
        return drawn

    def points(self, times, happy):
        return np.array(times, float), np.stack([happy, 1 - np.asarray(happy)], axis=1).astype(np.float32)

    def test_many_points_in_a_column_are_averaged(self, monkeypatch, tmp_path):
        happy = np.ones(36_000)
        happy[59::60] = 0  # the last of every column
        (drawn,) = self.columns(monkeypatch, tmp_path, {1: self.points(np.arange(36_000) / 10, happy)})
        np.testing.assert_allclose(drawn[0], 59 / 60, atol=0.02)

    def test_few_points_hold_until_the_next_and_a_gap_stays_white(self, monkeypatch, tmp_path):
        times = [*np.arange(0, 10, 0.1), *np.arange(20, 30, 0.1)]
        (drawn,) = self.columns(monkeypatch, tmp_path, {1: self.points(times, np.ones(200))})
        share = np.isnan(drawn[0]).mean()
        assert share == pytest.approx(10 / 30, abs=0.02)
        assert not np.isnan(drawn[0][:190]).any()

    def test_faces_share_one_axis_of_time_and_only_the_longest_are_drawn(self, monkeypatch, tmp_path):
        tracks = {i: self.points(np.arange(i, i + 5 + i, 0.1), np.ones(50 + 10 * i)) for i in range(12)}
        said = []
        monkeypatch.setattr(timeline, "headline", lambda figure, *lines: said.extend(lines))
        drawn = self.columns(monkeypatch, tmp_path, tracks)
        assert len(drawn) == timeline.MOST_STRIPS
        assert said == ["a video", "8 of 12 faces, those seen longest"]
        assert np.isnan(drawn[-1][0][:50]).all()  # the last face came late

    @pytest.mark.parametrize("tracks", [{}, {1: (np.array([0.0]), np.float32([[1, 0]]))}])
    def test_hardly_anything(self, monkeypatch, tmp_path, tracks):
        assert len(self.columns(monkeypatch, tmp_path, tracks)) == len(tracks)
