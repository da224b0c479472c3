"""Loads imitated data sets, and says in short what was found."""

import pytest

from fer import FerError
from fer.core.images import InputSpec
from fer.data import loading
from fer.data.loading import AS_IS

SPEC = InputSpec(12)


def load(root, splits=AS_IS, **options):
    return loading.load(root, SPEC, splits=splits, **options)


def labelled(part):
    """(entry as text, label) of every image."""
    return {
        (str(entry), part.labels[code]) for entry, code in zip(part.entries, part.targets.argmax(axis=1), strict=True)
    }


def counts(data):
    return {split: len(part) for split, part in data.items()}


def refused(root, **options):
    with pytest.raises(FerError) as error:
        load(root, **options)
    assert "\n" not in str(error.value)
    assert str(root.parent) in str(error.value) or str(error.value).startswith("--")
    return str(error.value)
