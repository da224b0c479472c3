"""predict_folder.py on folders as people have them: odd names, other files, square images without a face."""

import cv2
import numpy as np
import pytest
from support import portrait, tiny

from fer.cli import predict_folder, terminal
from fer.core.images import InputSpec
from fer.inference import results
from fer.inference.run_metadata import metadata_path
from fer.models.classifier import Classifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.keras"
    Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE)).save(path)
    return path


def run(*arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        terminal.run(predict_folder.main, lambda: predict_folder.parse_args(list(map(str, arguments))))
    assert ended.value.code == code


def test_images_are_known_by_their_content_and_the_rest_is_counted(tmp_path, model, draw, capsys):
    folder, output = tmp_path / "in", tmp_path / "r.csv"
    folder.mkdir()
    jpeg = cv2.imencode(".jpg", draw(1))[1].tobytes()
    for name in ("face", "face.jfif", "face.JPG", "face.txt"):
        (folder / name).write_bytes(jpeg)
    (folder / "face.gif").write_bytes(cv2.imencode(".gif", draw(2))[1].tobytes())
    (folder / "face.avif").write_bytes(cv2.imencode(".avif", draw(3))[1].tobytes())
    (folder / "stub.heic").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic")
    (folder / "page.svg").write_text("<svg></svg>")
    (folder / "broken.jpg").write_bytes(b"<html>404</html>")
    for name in ("notes.md", "list.csv", "README", "video.mp4"):
        (folder / name).write_bytes(b"\0\0\0\x14ftypisom letters")
    run(folder, "--model", model, "--output", output)
    said = capsys.readouterr()
    status = {row["source"].rpartition("/")[2]: row["status"] for row in results.read(output)}
    assert status == {
        **dict.fromkeys(["face", "face.jfif", "face.JPG", "face.txt", "face.gif", "face.avif"], "ok"),
        **dict.fromkeys(["stub.heic", "page.svg", "broken.jpg"], "unreadable"),
    }
    assert "left out, because they are not images: 4 files (" in said.out
    assert "no suffix 1" in said.out
    assert "pip install pillow-heif" in said.err or "cut short or damaged" in said.err
    assert "[ WARN" not in said.err


@pytest.fixture
def squares(tmp_path):
    """Twelve square images of 224 pixels in which no detector finds a face."""
    folder = tmp_path / "squares"
    folder.mkdir()
    for i in range(12):
        cv2.imwrite(str(folder / f"{i:02}.png"), np.full((224, 224, 3), 10 * i, np.uint8))
    return folder


def test_a_folder_of_square_images_without_faces_is_taken_as_cropped_faces(squares, model, tmp_path, capsys):
    output = tmp_path / "r.csv"
    run(squares, "--model", model, "--output", output)
    assert "most images are square and have no face that is found: 12 taken as cropped" in capsys.readouterr().out
    assert {row["width"] for row in results.read(output)} == {"224"}
    assert '"cropped": "square"' in metadata_path(output).read_text()
    whole = output.read_bytes()
    for path in sorted(squares.iterdir())[:8]:  # too few are left to decide again
        path.unlink()
    output.write_bytes(whole[: int(0.9 * len(whole))])
    run(squares, "--model", model, "--output", output, "--resume")
    assert output.read_bytes() == whole


def test_a_few_square_images_without_a_face_are_named_once(squares, model, tmp_path, capsys):
    for i in range(14):
        cv2.imwrite(str(squares / f"photo {i:02}.png"), np.full((120, 200, 3), 10 * i, np.uint8))
    run(squares, "--model", model, "--output", tmp_path / "r.csv", code=1)
    assert "12 square images without a face; if they are cropped faces, use --detector none" in capsys.readouterr().out
    assert {row["status"] for row in results.read(tmp_path / "r.csv")} == {"no_face"}


def test_square_photographs_with_faces_are_searched(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for i in range(9):
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), portrait.astronaut())
    run(tmp_path / "in", "--model", model, "--output", tmp_path / "r.csv")
    assert int(next(iter(results.read(tmp_path / "r.csv")))["width"]) < 200
    assert "cropped faces" not in capsys.readouterr().out
