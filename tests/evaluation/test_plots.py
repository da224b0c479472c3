"""Figures of an evaluation: valid files, letters of 8 points or more, curves and markers that differ in greyscale."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from fer.core import figures
from fer.evaluation import plots
from fer.evaluation.groups import by_group
from fer.evaluation.metrics import compute_report
from fer.evaluation.selective import risk_coverage

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    saved, save = [], figures.save

    def keep(figure, path):
        save(figure, path)
        saved.append(figure)

    monkeypatch.setattr(figures, "save", keep)
    monkeypatch.setattr(plots, "save", keep)
    return saved


def predictions(n, k=7, seed=0):
    rng = np.random.default_rng(seed)
    targets = np.eye(k)[rng.integers(0, k - 1, n)]  # the last label never occurs
    powers = np.exp(rng.normal(0, 1, (n, k)) + 2 * targets)
    return powers / powers.sum(axis=1, keepdims=True), targets


def curve(n, seed=0):
    probabilities, targets = predictions(n, seed=seed)
    return risk_coverage(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets.argmax(axis=1))


def groups(names, n=200, labels=LABELS):
    probabilities, targets = predictions(n, len(labels))
    return by_group(np.array(names)[np.arange(n) % len(names)], probabilities, targets, labels, "age")


@pytest.mark.parametrize(("n", "suffix"), [(1, ".pdf"), (40, ".svg"), (3000, ".png")])
@pytest.mark.filterwarnings("error")
def test_risk_coverage_of_any_number_of_images(n, suffix, tmp_path):
    path = tmp_path / f"rc{suffix}"
    plots.risk_coverage([("a.keras", curve(n)), ("b.keras", curve(n, 1))], path, threshold=0.5, title="on $x")
    assert path.stat().st_size > 3000


def test_the_threshold_is_marked_at_its_coverage(drawn, tmp_path):
    one = curve(500)
    plots.risk_coverage([("a.keras", one)], tmp_path / "rc.png", threshold=float(one.confidence[99]))
    mark = drawn[0].axes[0].lines[-1]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((0.2, 1 - one.risk[99]))


def test_two_curves_differ_in_dash_and_lightness(drawn, tmp_path):
    plots.risk_coverage([("a.keras", curve(500)), ("b.keras", curve(500, 1))], tmp_path / "rc.png")
    first, second = drawn[0].axes[0].lines[:2]
    assert first.get_linestyle() != second.get_linestyle()
    grey = [np.dot(to_rgb(line.get_color()), (0.299, 0.587, 0.114)) for line in (first, second)]
    assert abs(grey[0] - grey[1]) > 0.1


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a"], LABELS),
        (["women", "men", "гнев"], ("happy", "sad")),
        ([f"a long name of a group {i}" for i in range(20)], tuple(f"emotion {i}" for i in range(12))),
    ],
    ids=["one", "three", "twenty"],
)
@pytest.mark.filterwarnings("error")
def test_groups_of_any_number(names, labels, tmp_path):
    plots.groups(groups(names, labels=labels), tmp_path / "g.png", title="a title " * 20)
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_every_group_and_label_stands_where_its_figures_say(drawn, tmp_path):
    found = groups(["old", "young"])
    plots.groups(found, tmp_path / "g.png")
    left, right = drawn[0].axes
    np.testing.assert_allclose(left.lines[0].get_xdata(), [found.reports[name].accuracy for name in ("old", "young")])
    shapes = {(line.get_marker(), line.get_fillstyle()) for line in right.lines}
    assert len(shapes) == len(right.lines) == len(LABELS)
    for line, label in zip(right.lines, LABELS, strict=True):
        recalls = [found.reports[name].per_class[label]["recall"] for name in ("old", "young")]
        absent = label == LABELS[-1]
        np.testing.assert_allclose(line.get_xdata(), [np.nan] * 2 if absent else recalls)
        np.testing.assert_allclose(line.get_ydata(), [0, 1], atol=0.3)


def test_no_letter_is_smaller_than_8_points(drawn, tmp_path):
    scores = compute_report(*predictions(300), LABELS)
    plots.confusion_matrix(scores, tmp_path / "c.png", title="c")
    plots.reliability(scores, tmp_path / "r.png", title="r")
    figures.contact_sheet(
        np.full((3, 8, 8, 1), 99, np.uint8), ["true happy\npredicted sad 97%"] * 3, tmp_path / "s.png", title="s"
    )
    plots.risk_coverage([("a", curve(300))], tmp_path / "rc.png", threshold=0.5, title="rc")
    plots.groups(groups(["a", "b"]), tmp_path / "g.png", title="g")
    assert len(drawn) == 5
    for figure in drawn:
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
        assert min(sizes) >= 8
