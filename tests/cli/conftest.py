"""What the tests of the analyses of evaluate.py share: images in groups, models, and a run of the command."""

import json
import shutil

import keras
import pytest
from support import tiny
from support.scored import SPEC
from support.tiny import script

from fer.cli import evaluate
from fer.models.classifier import Classifier


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """120 validation images in groups: class folders hold women/ and men/; 30 of them are in train too."""
    root = tiny.folders(tmp_path_factory.mktemp("data") / "faces", train=60, validation=120)
    paths = sorted((root / "validation").glob("*/*.png"))
    for i, path in enumerate(paths):
        if i % 4 == 0:
            shutil.copy(path, root / "train" / path.parent.name / f"duplicate{i}.png")
        group = path.parent / ("women" if i % 3 else "men")
        group.mkdir(exist_ok=True)
        path.rename(group / path.name)
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three untrained models; the last has its labels in another order."""
    place, paths = tmp_path_factory.mktemp("models"), []
    for seed, labels in ((2, tiny.LABELS), (3, tiny.LABELS), (4, ("sad", "angry", "happy"))):
        keras.utils.set_random_seed(seed)
        model = tiny.build(labels)
        model.get_layer("logits").set_weights([array * 3 for array in model.get_layer("logits").get_weights()])
        paths.append(place / f"m{seed}.keras")
        Classifier(model, labels, SPEC, {"data": "tiny"}).save(paths[-1])
    return paths


@pytest.fixture
def evaluated(faces, models, tmp_path, capsys):
    """evaluated(*flags): what is printed, and the report."""

    def run(*flags, model=models[:1], data=faces):
        path = tmp_path / "r.json"
        assert script(evaluate, "--model", *model, "--data", data, "--report", path, *flags) == 0, capsys.readouterr()
        return capsys.readouterr().out, json.loads(path.read_text())

    return run
