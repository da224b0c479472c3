"""One image gives one tensor, wherever it comes from: what is trained on is what is served."""

import cv2
import numpy as np
import pytest
from support import tiny

from fer.core import images
from fer.core.images import InputSpec
from fer.data import loading
from fer.inference import batch
from fer.inference.detectors import WholeImage
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier
from fer.video import session, sources
from fer.video.frames import Frame


@pytest.fixture(params=[(48, 48), (230, 180), (30, 42)], ids=["as it is", "shrunk", "enlarged"])
def photo(request, draw):
    return draw(4, *request.param)


@pytest.fixture
def folders(tmp_path, write, photo, draw):
    """Class folders in which the image is the only happy one."""
    file = write(tmp_path / "faces" / "train" / "happy" / "me.png", photo)
    write(tmp_path / "faces" / "train" / "sad" / "other.png", draw(5))
    return tmp_path / "faces", file


@pytest.mark.parametrize("channels", [1, 3])
def test_a_training_row_a_file_an_upload_and_a_frame_are_the_same_tensor(folders, photo, channels):
    root, file = folders
    spec = InputSpec(48, channels)
    # A training set without a validation split cannot be split off one image: all of it is taken as it stands.
    row = loading.load(root, spec, splits=("all",))["all"]
    trained = row.images[row.names.index(file.relative_to(row.root).as_posix())]
    assert (trained.dtype, trained.shape) == (np.uint8, spec.shape)
    for served in (images.read(file), images.decode(file.read_bytes()), photo):
        np.testing.assert_array_equal(images.prepare(served, spec), trained)


def test_a_row_of_fer2013_csv_is_the_same_tensor_as_its_image(write_csv, write, draw, tmp_path):
    grey = cv2.cvtColor(draw(7), cv2.COLOR_BGR2GRAY)
    table = write_csv([(3, 7, "Training"), (4, 8, "PublicTest")])
    file = write(tmp_path / "me.png", grey)
    for spec in (InputSpec(48), InputSpec(32), InputSpec(48, 3)):
        row = loading.load(table, spec, splits=("train",))["train"].images[0]
        np.testing.assert_array_equal(images.prepare(images.read(file), spec), row)
        np.testing.assert_array_equal(images.prepare(grey, spec), row)


def test_the_network_sees_the_pixels_that_it_was_trained_on(folders, tmp_path):
    """Training feeds uint8 through the model's own scaling; so does a saved and loaded classifier."""
    root, file = folders
    spec = InputSpec(tiny.SIZE)
    data = loading.load(root, spec, splits=("all",))["all"]
    network = tiny.build(("happy", "sad"))
    Classifier(network, ("happy", "sad"), spec).save(tmp_path / "m.keras")
    served = Classifier.load(tmp_path / "m.keras").predict(images.prepare(images.read(file), spec)[None])
    trained = network.predict(data.images, verbose=0)[[data.names.index(file.relative_to(data.root).as_posix())]]
    np.testing.assert_allclose(served, trained, atol=1e-6)
    scaled = network.get_layer("scale")(data.images.astype(np.float32))
    assert float(np.max(scaled)) <= 1


class Witness:
    """A classifier that only remembers what it was given."""

    def __init__(self, spec):
        self.spec, self.labels, self.seen = spec, ("happy", "sad"), []

    def predict(self, images):
        self.seen += list(images)
        return np.full((len(images), 2), 0.5, np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_folders_and_live_video_feed_the_tensor_that_was_trained_on(folders, photo, channels, tmp_path):
    root, file = folders
    spec = InputSpec(48, channels)
    row = loading.load(root, spec, splits=("all",))["all"]
    trained = row.images[row.names.index(file.relative_to(row.root).as_posix())]
    network = Witness(spec)
    list(batch.recognize([file], Recognizer(network, WholeImage())))
    clip = tmp_path / "clip.avi"  # a codec that loses nothing
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MPNG"), 10, photo.shape[1::-1])
    writer.write(photo)
    writer.release()
    with sources.open_source(str(clip)) as source:
        for frame in source:
            session.Session(Recognizer(network, WholeImage())).process(frame)
    session.Session(Recognizer(network, WholeImage())).process(Frame(photo, "camera", 0, 0.0))
    assert len(network.seen) == 3
    for served in network.seen:
        np.testing.assert_array_equal(served, trained)
