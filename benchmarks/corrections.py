"""Corrects synthetic faces at a running page, as its visitors would, and draws other persons to test on.

    python app.py --model fer2013-fast --collect corrected/ --corrections-per-minute 1000
    python benchmarks/corrections.py http://127.0.0.1:7860 --held-out held-out/

Every face is another person. The faces go to POST /predict and, with the label they were drawn with, to
POST /corrections; the model's own labels are counted. docs/web.md trains on the folder and reports what that costs.
"""

import sys
from pathlib import Path

import cv2
import httpx2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer.cli import arguments, terminal
from fer.core.errors import FerError
from fer.core.files import replacing
from fer.data.synthetic_faces import LABELS, faces

SIZE = 96  # pixels: a cropped face, which the page takes as a whole
CORRECTED, HELD_OUT = 101, 102  # seeds, which draw different persons


def parse_args(argv=None):
    parser = arguments.parser(__doc__)
    parser.add_argument("server", help="address of the page")
    parser.add_argument("--images", type=int, default=20, metavar="N", help="corrections per label (20)")
    parser.add_argument("--held-out", metavar="DIR", help="write class folders of 100 other persons per label")
    return parser.parse_args(argv)


def main(args):
    """Sends the corrections and prints how many of the labels were right before."""
    right = 0
    images, codes = faces(args.images * len(LABELS), seed=CORRECTED, size=SIZE)
    with httpx2.Client(base_url=args.server, timeout=60) as client:
        for image, code in zip(images, codes, strict=True):
            file = {"image": ("face.png", cv2.imencode(".png", image)[1].tobytes())}
            found = ask(client, "/predict", file)
            right += found["emotion"] == LABELS[code]
            box = {side: found["faces"][0][side] for side in ("x", "y", "width", "height")}
            ask(client, "/corrections", file, {"label": LABELS[code], "consent": "yes", **box})
    print(f"{len(codes)} faces corrected; the model had labelled {right} of them right")
    if args.held_out:
        draw(Path(args.held_out), 100 * len(LABELS))
    return 0


def ask(client: httpx2.Client, path: str, files: dict, data: dict | None = None) -> dict:
    """The JSON of a response; raises FerError for a refusal."""
    answer = client.post(path, files=files, data=data)
    if answer.is_error:
        raise FerError(f"{path}: {answer.json()['detail']}")
    return answer.json()


def draw(folder: Path, count: int) -> None:
    """Writes `count` faces of other persons as class folders."""
    for number, (image, code) in enumerate(zip(*faces(count, seed=HELD_OUT, size=SIZE), strict=True)):
        with replacing(folder / LABELS[code] / f"{number:03}.png") as temporary:
            temporary.write_bytes(cv2.imencode(".png", np.ascontiguousarray(image))[1].tobytes())


if __name__ == "__main__":
    terminal.run(main, parse_args)
