"""The Python API from data to predictions: load, train, evaluate, label. Takes half a minute; writes to OUTPUT only.

python examples/python_api.py OUTPUT
"""

import sys
from pathlib import Path

import fer

SAMPLES = Path(__file__).resolve().parents[1] / "data" / "samples"


def main(output: Path) -> None:
    # Label the faces of an image: a path, a PIL image or an array uint8 (H, W, 3) in BGR order.
    recognizer = fer.load("fer2013-fast")  # a bundled model, or the path of a file
    for prediction in recognizer(SAMPLES / "happy.png"):
        print(f"{prediction.label}, {prediction.confidence:.0%}, at {prediction.box}")
        print({label: round(share, 2) for label, share in prediction.probabilities.items()})

    # Load labelled images: class folders, a fer2013.csv, "kaggle:OWNER/NAME", or "demo" for synthetic faces.
    data = fer.load_dataset("demo")
    print(data["train"].counts)

    # Train. Every field of a recipe is an argument; two epochs show how it works, not how well.
    result = fer.train(data, "quick", output=output / "demo.keras", run_dir=output / "run", epochs=2, overwrite=True)
    print(f"epoch {result.best_epoch} of {len(result.history)}, {result.seconds:.0f} s, {result.output}")

    # Evaluate: a model file or a bundled model, on loaded data or on a source.
    report = fer.evaluate(result.classifier, data["validation"])
    print(report.table())
    print(f"accuracy {report.accuracy:.1%}, macro F1 {report.macro_f1:.3f}")

    # Follow faces through a video: each frame with its faces, which keep their number.
    #   for frame, predictions in recognizer.track("clip.mp4"):
    #       print(frame.seconds, [(prediction.track, prediction.label) for prediction in predictions])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/python_api"))
