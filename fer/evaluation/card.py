"""Model cards: a page for each model, written from its own metadata, from reports, and from notes of its author.

The headings follow Mitchell et al. 2019, "Model cards for model reporting".
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from fer.core import files
from fer.core.errors import FerError
from fer.data.unseen import is_of, optimism
from fer.evaluation.groups import Groups
from fer.evaluation.leakage import Leakage
from fer.evaluation.metrics import Report
from fer.evaluation.robustness import Robustness
from fer.models.classifier import Classifier
from fer.models.model_file import read_info

INTENDED_USE = (
    "Research, teaching, and demonstrations on consenting people; no decisions about people. The network predicts "
    "which word annotators would choose for a face, not what a person feels."
)
LICENCE = "The licence of the suite covers its code, not these weights: the terms of the training images count too."
FEW = 0.05  # share of the images below which a label counts as rare
# What an author may say: these replace the first line, or follow what the card says there by itself.
NOTES = ("summary", "training", "hardware", "speed", "data", "results", "limits", "licence")
FORMATS = {"litert": "LiteRT", "onnx": "ONNX"}


def write_card(
    path: str | Path,
    model: str | Path,
    classifier: Classifier,
    reports: Mapping[str, Report],
    *,
    command: str,
    data: str,
    split: str,
    leakage: Leakage | None = None,
    robustness: Robustness | None = None,
    groups: Groups | None = None,
    exports: Sequence[Path] = (),
    unseen: Mapping[str, Report] | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes the card of a model as Markdown.

    Args:
        path: the file; replaced if it exists.
        model: the model's file.
        classifier: the model.
        reports: a row's name -> report on the same images: "none", "flip", "ten-crop", and each export; the first is
            that of a single crop.
        command: measures the same figures again.
        data, split: name and split of the images.
        leakage, robustness, groups: more figures of a single crop, where they were measured.
        exports: files that were exported from the model.
        unseen: a row's name -> report on the images without a duplicate or near-duplicate in training.
        notes: see `read_notes`.

    Raises:
        FerError: the file cannot be written.
    """
    model, notes = Path(model), notes or {}
    first = next(iter(reports.values()))

    def noted(name: str, text: str) -> str:
        return " ".join(filter(None, (text, notes.get(name))))

    sections = [
        f"# {model.stem}\n\n{notes.get('summary') or _summary(classifier)}",
        f"## Details\n\n{details((model, *exports), classifier, notes)}",
        f"## Intended use\n\n{INTENDED_USE}",
        f"## Data\n\n{noted('data', _data(classifier, data, split, first))}",
        f"## Results\n\n{noted('results', _results(reports, unseen or {}, exports, command, leakage, robustness))}",
        f"## Limits\n\n{noted('limits', _limits(classifier, first, data, split, leakage, groups))}",
        f"## Licence\n\n{noted('licence', LICENCE)}",
    ]
    files.write_text(path, "\n\n".join(sections))


def is_card(text: str) -> bool:
    """Whether a Markdown text is what `write_card` writes, of this or an earlier version."""
    text = re.sub(r"\A---\n.*?\n---\s*", "", text, flags=re.DOTALL)  # the Hub's metadata, which its author may add
    return text.startswith("# ") and all(f"\n## {name}\n" in text for name in ("Intended use", "Results", "Limits"))


def check_replaceable(path: str | Path) -> None:
    """Refuses to replace a file that is not a card: a README has the same suffix.

    Raises:
        FerError: another file of that name exists.
    """
    if Path(path).is_file() and not is_card(files.read_text(path)):
        raise FerError(f"{path}: exists and is not a model card; choose another name")


def read_notes(path: str | Path, model: str) -> dict[str, str]:
    """What the author of a model says about it: the table of that name in a TOML file, its keys among `NOTES`.

    A table `default` has texts for all models.

    Raises:
        FerError: the file is missing or no TOML, has no table of that name, or one with other keys, or with a text that
            would break the card's table.
    """
    try:
        with Path(path).open("rb") as file:
            tables = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise FerError(f"{path}: cannot be read ({error})") from error
    if not isinstance(own := tables.get(model), dict):
        raise FerError(f"{path}: has no table [{model}], only {', '.join(tables) or 'none'}")
    notes = tables.get("default", {}) | own
    for name, text in notes.items():
        if name not in NOTES or not isinstance(text, str) or {"|", "\n"} & set(text):
            raise FerError(f"{path}: {name} in [{model}] must be one line without | under one of {', '.join(NOTES)}")
    return notes


def _summary(classifier: Classifier) -> str:
    data = classifier.metadata.get("data")
    trained = f"trained on {data}" if data else "of unknown training data"
    return f"Facial expressions: {len(classifier.labels)} labels, {trained}."


def details(paths: Sequence[Path], classifier: Classifier, notes: Mapping[str, str]) -> str:
    """The table of details: all that needs no images.

    Args:
        paths: the model's file, and those that were exported from it.
        classifier: the model.
        notes: see `read_notes`.
    """
    metadata, spec = classifier.metadata, classifier.spec
    rows = {
        "labels": ", ".join(classifier.labels),
        "input": f"{'grey' if spec.channels == 1 else 'colour (BGR)'}, {spec.size} x {spec.size} pixels",
        "network": _network(classifier),
        "files": ", ".join(map(_file, paths)),
        "training": _training(metadata),
        "hardware": ", ".join(filter(None, (metadata.get("device"), metadata.get("dtype"), _duration(metadata)))),
        "calibration": _calibration(metadata),
        "date": ", ".join(filter(None, (metadata.get("date"), _of("revision", metadata.get("revision"))))),
    }
    for name in ("training", "hardware", "speed"):
        rows[name] = "; ".join(filter(None, (rows.get(name), notes.get(name))))
    lines = ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items() if text)]
    return "\n".join(lines)


def _duration(metadata: dict) -> str:
    if (seconds := metadata.get("training_seconds")) is None:  # of an earlier version
        return ""
    return f"{seconds / 3600:.1f} hours" if seconds >= 2 * 3600 else f"{max(1, round(seconds / 60))} min"


def _file(path: Path) -> str:
    exported = read_info(path).metadata.get("exported", {})
    kind = f"{FORMATS.get(exported.get('format'), '')} {exported.get('precision', '')}".strip()
    kind += " weights" if exported.get("format") == "keras" else ""
    return f"`{path.name}` ({', '.join(filter(None, (kind, f'{path.stat().st_size / 1e6:.1f} MB')))})"


def _network(classifier: Classifier) -> str:
    recipe = classifier.metadata.get("recipe", {})
    parts = [recipe.get("network", ""), _of("width", recipe.get("width"))]
    if hasattr(classifier.model, "count_params"):
        parts.append(f"{classifier.model.count_params():,} parameters")
    return ", ".join(filter(None, parts))


def _training(metadata: dict) -> str:
    recipe = metadata.get("recipe", {})
    if not recipe:
        return _of("imported from", metadata.get("imported"))
    epochs = f"epoch {metadata['epoch']} of {recipe['epochs']}" if "epoch" in metadata and "epochs" in recipe else ""
    parts = [
        f"recipe `{recipe.get('name')}`",
        epochs,
        _of("initialised from", metadata.get("init")),
        _of("distilled from", " and ".join(metadata.get("teachers") or ())),
        _of("FER+ votes:", metadata.get("votes")),
        "" if metadata.get("seed") is None else f"seed {metadata['seed']}",  # 0 is a seed
    ]
    return ", ".join(filter(None, parts))


def _calibration(metadata: dict) -> str:
    temperature, below = metadata.get("temperature"), metadata.get("uncertain_below")
    parts = [f"temperature {temperature:.2f}" if temperature else "", f"uncertain below {below:.3f}" if below else ""]
    return ", ".join(filter(None, parts)) or "none"


def _of(name: str, value: object) -> str:
    return f"{name} {value}" if value not in (None, "", 0) else ""


def _data(classifier: Classifier, data: str, split: str, report: Report) -> str:
    counts = classifier.metadata.get("n_images") or classifier.metadata.get("pictures", {})  # the older key
    trained = f"Trained on {counts['train']:,} images. " if counts.get("train") else ""
    support = ", ".join(f"{label} {count:,}" for label, count in zip(report.labels, report.support, strict=True))
    return f"{trained}Evaluated on {report.n_images:,} images of {data}, {split} split: {support}."


def _results(
    reports: Mapping[str, Report],
    unseen: Mapping[str, Report],
    exports: Sequence[Path],
    command: str,
    leakage: Leakage | None,
    robustness: Robustness | None,
) -> str:
    others = "".join(f", and with `--model {path.name}`" for path in exports)
    columns = ["TTA", "accuracy (95 % interval)", *(["without duplicates"] if unseen else [])]
    columns += ["balanced accuracy", "macro F1", "top-2 accuracy", "NLL", "ECE"]
    lines = [f"`{command}` with `--tta none`, `flip` or `ten-crop`{others}:", "", f"| {' | '.join(columns)} |"]
    lines.append("|---" * len(columns) + "|")
    for tta, report in reports.items():
        low, high = report.accuracy_ci95
        cells = [
            tta,
            f"{100 * report.accuracy:.2f} % ({100 * low:.2f} to {100 * high:.2f})",
            *([f"{100 * unseen[tta].accuracy:.2f} %"] if unseen else []),
            f"{100 * report.balanced_accuracy:.2f} %",
            f"{report.macro_f1:.3f}",
            f"{100 * report.top2_accuracy:.2f} %",
            f"{report.nll:.3f}",
            f"{report.ece:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    first = next(iter(reports.values()))
    f1 = {label: row["f1"] for label, row in first.per_class.items() if row["support"]}
    ranked = sorted(f1, key=lambda label: -f1[label])
    lines += ["", f"F1 by label: {', '.join(f'{label} {f1[label]:.2f}' for label in ranked)}."]
    if leakage and (clean := leakage.without_near_duplicate):
        low, high = clean.accuracy_ci95
        lines[-1] += (
            f" Without the images that have a duplicate or near-duplicate in training: "
            f"{100 * clean.accuracy:.2f} % ({100 * low:.2f} to {100 * high:.2f}, {clean.n_images:,} images)."
        )
    if robustness:
        means = sorted(zip(robustness.accuracy, robustness.shares.mean(axis=1), strict=True), key=lambda one: -one[1])
        by_kind = ", ".join(f"{kind} {100 * mean:.1f}{'†' * (kind in robustness.trained_on)}" for kind, mean in means)
        low, high = robustness.mean_ci95
        lines[-1] += (
            f" Mean accuracy under corruption in five severities (`--robustness`): {100 * robustness.mean:.1f} % "
            f"({100 * low:.1f} to {100 * high:.1f}): {by_kind}."
        )
        lines[-1] += " † The training augmentation imitates this corruption." if robustness.trained_on else ""
    return "\n".join(lines)


def _limits(
    classifier: Classifier, report: Report, data: str, split: str, leakage: Leakage | None, groups: Groups | None
) -> str:
    sentences = []
    if is_of(classifier.metadata, data):
        if split in ("train", "all"):
            text = "The network has seen images of this split in training: the figures say little about others."
            sentences.append(text)
        if chosen := optimism(classifier.metadata, data, split):
            sentences.append(chosen)
    occurring = {label: row for label, row in report.per_class.items() if row["support"]}
    rare = [label for label, row in occurring.items() if row["support"] < FEW * report.n_images]
    if rare:
        sentences.append(f"Rare labels, with wide intervals: {', '.join(rare)}.")
    if absent := [label for label in report.labels if label not in occurring]:
        sentences.append(f"Labels without an image here: {', '.join(absent)}.")
    weakest = min(occurring, key=lambda label: occurring[label]["recall"])
    sentences.append(f"The lowest recall is that of {weakest}: {occurring[weakest]['recall']:.2f}.")
    if leakage and leakage.with_near_duplicate:
        percent = 100 * leakage.with_near_duplicate.n_images / report.n_images
        sentences.append(f"{percent:.1f} % of these images have a duplicate or near-duplicate in training.")
    if leakage is None:
        sentences.append("Duplicates between training and evaluation images were not searched (`--leakage-against`).")
    if groups is None:
        sentences.append("Results by age, gender, skin tone or culture were not measured.")
    else:
        small = set(groups.small)
        accuracies = {name: one.accuracy for name, one in groups.reports.items() if name not in small}
        shown = ", ".join(f"{name} {100 * value:.1f} %" for name, value in accuracies.items())
        sentences.append(f"Accuracy by {groups.attribute}: {shown or 'every group is too small'} (`--group-by`).")
        sentences.append("Results by other attributes of people were not measured.")
    return " ".join(sentences)
