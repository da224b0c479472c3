"""The real FER2013 as a table and as folders: its published counts, its duplicates, time and memory."""

import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from support import tiny

from fer.core.images import InputSpec
from fer.data import audit, loading
from fer.data.fer2013_csv import read_votes

pytestmark = pytest.mark.slow

# The real data are too large for the repository: they lie beside the checkout, or nowhere.
REAL = tiny.ROOT.parent / "shared" / "data"
SEVEN = {"angry": 3995, "disgust": 436, "fear": 4097, "happy": 7215, "sad": 4830, "surprise": 3171, "neutral": 4965}
LOADS = r"""
import json, re, sys, time
import numpy as np
from fer.data import loading, fer2013_csv
from fer.core.images import InputSpec

def counted(data):
    return {split: [part.counts, part.n_blank, len(part.skipped)] for split, part in data.items()}

def load(**votes):
    return loading.load(sys.argv[1], InputSpec(48, 1), **votes)

def once(*arguments):
    if not kept:
        kept.append(read(*arguments))
    return kept[0]

kept, read, fer2013_csv.read = [], fer2013_csv.read, once
before = time.process_time()
plain = load()
found = {"plain": counted(plain), "seconds": time.process_time() - before}
# Not getrusage: on Linux its maximum survives exec, and so would be that of the process which runs the tests.
status = fer2013_csv.Path("/proc/self/status")
peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
found["gigabytes"] = peak and int(peak[1]) / 1e6
found["majority"] = counted(load(votes=sys.argv[2]))
found["shares"] = counted(load(votes=sys.argv[2], vote_mode="shares"))
rows = plain["validation"]
np.savez(sys.argv[3], images=rows.images, targets=rows.targets, labels=rows.labels)
print(json.dumps(found))
"""


def real(name):
    if not (REAL / name).is_file():
        pytest.skip(f"the real data are not here: ../shared/data/{name}")
    return REAL / name


@pytest.fixture(scope="module")
def votes():
    return real("fer2013new.csv")


@pytest.fixture(scope="module")
def table(tmp_path_factory, votes):
    """What `load` makes of the official training and PublicTest rows as fer2013.csv (271 MB), and the arrays of the
    validation rows; in a process of its own, which alone knows its peak of memory."""
    packed, folder = real("fer2013.csv.xz"), tmp_path_factory.mktemp("table")
    with lzma.open(packed) as source, (folder / "fer2013.csv").open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    command = [sys.executable, "-c", LOADS, folder / "fer2013.csv", votes, folder / "rows.npz"]
    environment = os.environ | {"PYTHONPATH": str(tiny.ROOT)}
    said = subprocess.run(list(map(str, command)), env=environment, capture_output=True, check=True).stdout
    with np.load(folder / "rows.npz") as rows:
        arrays = dict(rows)
    shutil.rmtree(folder)
    return json.loads(said), arrays


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The splits of the same images as class folders of JPEG files, and the processor's seconds to load them."""
    packed, root = real("fer2013-folders.tar.gz"), tmp_path_factory.mktemp("folders")
    with tarfile.open(packed) as archive:
        archive.extractall(root, filter="data")
    before = time.process_time()
    data = loading.load(root, InputSpec(48, 1))
    seconds = time.process_time() - before
    shutil.rmtree(root)
    return data, seconds


class TestTable:
    def test_counts(self, table):
        (counts, blank, skipped), (validation, validation_blank, _) = table[0]["plain"].values()
        assert counts == SEVEN
        assert sum(counts.values()) == 28_709
        assert sum(validation.values()) == 3_589
        assert blank + validation_blank == 12
        assert skipped == 0

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's own peak of memory")
    def test_time_and_memory(self, table):
        """Seconds of the processor, so that a busy machine does not fail the test."""
        assert table[0]["seconds"] < 40
        assert 0.1 < table[0]["gigabytes"] < 1.5

    @pytest.mark.parametrize("mode", ["majority", "shares"])
    def test_fer_plus_keeps_exactly_the_published_images(self, table, mode):
        parts = table[0][mode]
        kept = {split: sum(counts.values()) for split, (counts, _, _) in parts.items()}
        dropped = {split: skipped for split, (_, _, skipped) in parts.items()}
        assert kept == {"train": 25_060, "validation": 3_199}
        assert dropped == {"train": 28_709 - 25_060, "validation": 3_589 - 3_199}

    def test_fer_plus_shares_are_distributions(self, votes):
        shares = read_votes(votes, np.repeat(["train", "validation"], [28_709, 3_589])).shares
        shares = shares[shares.any(axis=1)]
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        assert (shares.max(axis=1) > 0.5).all()
        assert 0.3 < (shares.max(axis=1) < 1).mean() < 0.9  # neither all one-hot nor all mixed


class TestFolders:
    def test_every_image_is_there(self, folders):
        data, _ = folders
        assert {split: len(part) for split, part in data.items()} == {"train": 28_709, "validation": 3_589}
        assert data["train"].counts["disgust"] == 436
        assert data["train"].skipped == data["validation"].skipped == ()

    def test_a_few_seconds(self, folders):
        """Seconds of all processors together, so that a busy machine does not fail the test."""
        assert folders[1] < 30

    def test_the_jpegs_show_the_images_of_the_table(self, folders, table):
        """The files do not carry the row: every file is held against all rows. The README of the data says about 3."""
        files, rows = folders[0]["validation"], table[1]
        one, other = (images.reshape(len(images), -1).astype(np.float32) for images in (files.images, rows["images"]))
        distance = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
        nearest = distance.argmin(axis=1)
        errors = ((one - other[nearest]) ** 2).mean(axis=1)
        assert 2.5 < errors.mean() < 3.5
        assert errors.max() < 5
        aligned = files.align(tuple(map(str, rows["labels"]))).targets.argmax(axis=1)
        same = aligned == rows["targets"][nearest].argmax(axis=1)
        assert same.mean() > 0.995  # some duplicates carry another label

    def test_audit_counts_duplicates_as_other_people_did(self, folders):
        found = audit.audit(folders[0])
        assert found.blank.sum() == 12
        exact, either = found.leaked("validation", "train")
        assert (len(exact), len(found.exact_groups)) == (279, 1272)
        assert 490 <= len(either) <= 505
