"""Imitations of the data sets of the field, built from synthetic faces: layouts, codings, splits and subjects."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from fer.data import synthetic_faces

RAF = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
CK = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")

_drawn = iter(range(10**6))


def face(size: int = 24) -> np.ndarray:
    """uint8 (size, size): a face that no other call draws."""
    return synthetic_faces.faces(1, seed=next(_drawn), size=size)[0][0]


def write(path: Path, image: np.ndarray | None = None) -> Path:
    """Writes a face, or the image, in the format of the suffix."""
    suffix = {".tiff": ".tif", ".jfif": ".jpg"}.get(path.suffix.lower(), path.suffix.lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(suffix, face() if image is None else image)[1].tobytes())
    return path


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pixels() -> str:
    return " ".join(map(str, face(48).ravel()))


def folders(root: Path, names: Iterable[str], each: int = 2) -> Path:
    """root/NAME/0.png ..."""
    for name in names:
        for i in range(each):
            write(root / name / f"{name.replace('/', '-')}-{i}.png")
    return root


def challenge(root: Path) -> Path:
    text(root / "train.csv", "emotion,pixels", *(f"{code % 7},{pixels()}" for code in range(14)))
    text(root / "test.csv", "pixels", pixels())
    return root


def ferplus(root: Path) -> Path:
    """One image of each of the eight emotions in every split, in the order of the columns of votes."""
    for folder in ("FER2013Train", "FER2013Valid", "FER2013Test"):
        lines = []
        for emotion in range(8):
            name = f"fer{next(_drawn):07}.png"
            write(root / "data" / folder / name)
            votes = [8 if i == emotion else 2 if i == (emotion + 1) % 8 else 0 for i in range(10)]
            lines.append(f'{name},"(0, 0, 48, 48)",{",".join(map(str, votes))}')
        text(root / "data" / folder / "label.csv", *lines)
    return root


def raf_kaggle(root: Path, tables: bool = True) -> Path:
    for split in ("train", "test"):
        rows = ["image,label"]
        for number in range(14):
            name, label = f"{split}_{number:05}_aligned.jpg", number % 7 + 1
            write(root / "DATASET" / split / str(label) / name)
            rows.append(f"{name},{label}")
        if tables:
            text(root / f"{split}_labels.csv", *rows)
    return root


def raf_official(root: Path) -> Path:
    lines = []
    for split in ("train", "test"):
        for number in range(14):
            lines.append(f"{split}_{number:05}.jpg {number % 7 + 1}")
            write(root / "basic" / "Image" / "aligned" / f"{split}_{number:05}_aligned.jpg")
            write(root / "basic" / "Image" / "original" / f"{split}_{number:05}.jpg")
    text(root / "basic" / "EmoLabel" / "list_patition_label.txt", *lines)
    return root


def affectnet_2017(root: Path) -> Path:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    for table, n in (("training.csv", 22), ("validation.csv", 11)):
        rows = [header]
        for code in range(n):
            name = f"{code % 3}/{table[:3]}{code}.jpg"
            write(root / "Manually_Annotated_Images" / name)
            rows.append(f"{name},0,0,24,24,1;2,{code % 11},0.1,0.2")
        text(root / table, *rows)
    return root


def affectnet_2021(root: Path) -> Path:
    for folder in ("train_set", "val_set"):
        for code in range(16):
            write(root / folder / "images" / f"{code}.jpg")
            (root / folder / "annotations").mkdir(exist_ok=True)
            np.save(root / folder / "annotations" / f"{code}_exp.npy", np.array(str(code % 8)))
            np.save(root / folder / "annotations" / f"{code}_val.npy", np.array("0.1"))
    return root


def yolo(root: Path) -> Path:
    names = ["Anger", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"]
    text(root / "data.yaml", "train: ../train/images", "nc: 8", f"names: {names}")
    for split in ("train", "valid", "test"):
        for code in range(8):
            write(root / split / "images" / f"a{code}.png")
            text(root / split / "labels" / f"a{code}.txt", f"{code} 0.5 0.5 1 1")
    return root


def ck48(root: Path, subjects: int = 10) -> Path:
    for subject in range(subjects):
        for number, name in enumerate(("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")):
            for frame in range(3):
                write(root / "CK+48" / name / f"S{subject:03}_{number:03}_{frame:08}.png")
    return root


def ck_raw(root: Path, subjects: int = 8) -> Path:
    for subject in range(subjects):
        for sequence in range(3):
            place = Path(f"S{subject:03}") / f"{sequence:03}"
            for frame in range(5):
                write(root / "cohn-kanade-images" / place / f"{frame:08}.png")
            if sequence < 2:
                name = f"S{subject:03}_{sequence:03}_00000004_emotion.txt"
                text(root / "Emotion" / place / name, f"   {(subject + sequence) % 8:.7e}")
    return root


def jaffe(root: Path) -> Path:
    for subject in ("KA", "KL", "KM", "KR", "MK"):
        for number, code in enumerate(("AN", "DI", "FE", "HA", "NE", "SA", "SU")):
            write(root / f"{subject}.{code}1.{number}.tiff")
    return root


def kdef(root: Path) -> Path:
    for session in "AB":
        for subject in ("F01", "F02", "M01", "M02"):
            for code in ("AF", "AN", "DI", "HA", "NE", "SA", "SU"):
                name = f"{session}{subject}"
                write(root / name / f"{name}{code}S.JPG")
    return root


def expw(root: Path) -> Path:
    """Two faces in each photograph, one above the other; the labels of FER2013's order."""
    lines = []
    for number in range(7):
        name = f"photo_{number}.jpg"
        write(root / "image" / "origin" / name, np.vstack([face(), face()]))
        for one in range(2):
            lines.append(f"{name} {one} {24 * one} 0 24 {24 * one + 24} 80.5 {(number + one) % 7}")
    text(root / "label" / "label.lst", *lines)
    return root


def oulu(root: Path) -> Path:
    for subject in range(1, 6):
        for name in ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise"):
            for frame in range(2):
                write(root / "OriginalImg" / "VL" / "Strong" / f"P{subject:03}" / name / f"{frame:03}.jpeg")
    return root


def table(root: Path) -> Path:
    rows = ["file_name,label,subject"]
    for number in range(14):
        name = f"{number}.jpg"
        write(root / "pictures" / name)
        rows.append(f"{name},{('happiness', 'Sad')[number % 2]},p{number // 4}")
    text(root / "labels.csv", *rows)
    return root


def imagefolder(root: Path) -> Path:
    for split in ("train", "test"):
        rows = ["file_name,label"]
        for number in range(8):
            write(root / split / f"{number}.jpg")
            rows.append(f"{number}.jpg,{('angry', 'fear')[number % 2]}")
        text(root / split / "metadata.csv", *rows)
    return root
