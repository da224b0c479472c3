"""Images with one real face at a known place: scikit-image's astronaut before a street without people."""

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
FACE = (145.0, 113.0, 102.0)  # of the astronaut, cut as below: centre and side of her face, in pixels
ROWS, COLUMNS = slice(0, 400), slice(80, 400)


def scene(scale: float, x: float, y: float) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The person, scaled, with the upper left corner at x, y; and where the centre and side of the face then are."""
    from skimage.data import astronaut
    from sklearn.datasets import load_sample_image

    person = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)[ROWS, COLUMNS]
    street = cv2.resize(load_sample_image("china.jpg")[:, :, ::-1], (WIDTH, HEIGHT))
    image = cv2.GaussianBlur(street, (0, 0), 3)
    move = np.float32([[scale, 0, x], [0, scale, y]])
    cv2.warpAffine(person, move, (WIDTH, HEIGHT), image, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    return image, (x + scale * FACE[0], y + scale * FACE[1], scale * FACE[2])


def shows(boxes, face: tuple[float, float, float]) -> bool:
    """Whether one of the boxes (x, y, width, height) lies on the face: centre within it, side half to twice as long."""
    x, y, side = face
    return any(
        abs(bx + width / 2 - x) < side / 2 and abs(by + height / 2 - y) < side / 2 and side / 2 < width < 2 * side
        for bx, by, width, height in boxes
    )
