"""Train a facial-expression network.

    python train.py --data demo --recipe quick --output models/demo.keras
    python train.py --data fer2013/ --recipe four-block --output models/mine.keras

The epoch that validates best becomes the model file; log, curves and checkpoint go to the run folder. After Ctrl-C or
a crash, `python train.py --resume --run-dir runs/mine` continues after the last finished epoch.
"""

import argparse
import os
import shlex
import sys
import traceback
from pathlib import Path

from fer.cli import arguments, terminal, train_arguments
from fer.core.text import counted
from fer.data.dataset import Dataset
from fer.training.config import TrainingConfig
from fer.training.recipe import Recipe


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    arguments.add_data_arguments(parser)
    train_arguments.add_arguments(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    if args.list_recipes:
        print(train_arguments.recipe_table())
        return 0
    if args.folds is not None:
        train_arguments.check_folds(args)
    config = train_arguments.resolve(args)
    from fer.training import train

    train.check_models(config, resume=args.resume)
    if args.diagram:
        return draw_network(config.recipe, args.diagram)
    if args.folds is not None:
        return _cross_validate(args, config)
    return _train_distributed(args, config) if args.distribute else _train(args, config)


def _cross_validate(args: argparse.Namespace, config: TrainingConfig) -> int:
    from fer import cross_validation
    from fer.training import train

    cross_validation.check(config, args.folds, overwrite=args.overwrite)
    data = train.load_data(config, splits=("all",), progress=terminal.progress)["all"]
    print(terminal.describe_data("all", data))
    found = cross_validation.run(config, data, args.folds, verbose=terminal.verbosity())
    pooled, folder = found.pooled, Path(config.run_dir)
    confusion = f"true (row) by predicted (column)\n{pooled.confusion_table()}"
    print("\nall folds together: each image by the model that was not trained on it")
    print("", pooled.table(), confusion, pooled.summary(), found.summary(), sep="\n\n")
    names = (cross_validation.TABLE, cross_validation.POOLED)
    print(f"\nmodels and scores: {folder / 'fold-1'} ..., {', '.join(str(folder / name) for name in names)}")
    return 0


def _train(args: argparse.Namespace, config: TrainingConfig, *, prints: bool = True) -> int:
    from fer.training import train

    data = train.load_data(config, progress=terminal.progress)
    for split, part in data.items() if prints else ():
        print(terminal.describe_data(split, part))
    with terminal.quiet():  # TensorFlow takes seconds to start: flags and data are checked by now
        summary = train.summary(config)
    if prints:
        print(summary)
    options = {name: getattr(args, name) for name in ("resume", "overwrite", "tensorboard", "distribute")}
    try:
        result = train.run(config, data, verbose=terminal.verbosity(), **options)
    except KeyboardInterrupt:
        if prints:
            print(f"\n{_how_to_continue(config)}")
        return 130
    if prints:
        print_result(result, data["validation"])
    return 0


def _train_distributed(args: argparse.Namespace, config: TrainingConfig) -> int:
    """Trains as one of several processes; the first one prints."""
    with terminal.quiet():
        from fer.training.distribute import initialize

        workers = initialize()
    if workers.processes == 1:
        return _train(args, config)
    try:
        terminal.run(lambda _: _train(args, config, prints=workers.is_first), lambda: None)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except Exception:
        traceback.print_exc()
        code = 1
    if code:  # at a normal exit JAX would wait for the other processes, which may be lost or wait for this one
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return 0


def _how_to_continue(config: TrainingConfig) -> str:
    from fer.training.run_folder import CHECKPOINT

    if not Path(config.run_dir, CHECKPOINT).exists():
        return "stopped within the first epoch: there is nothing to keep yet"
    kept = f"best model so far: {config.output}; " if Path(config.output).exists() else ""
    return f"stopped; {kept}go on with: python train.py --resume --run-dir {shlex.quote(config.run_dir)}"


def print_result(result, validation: Dataset) -> None:
    """The scores of the best epoch, and where its files are; writes the sheet of examples."""
    from fer.evaluation import metrics
    from fer.training import curves
    from fer.training.run_folder import CURVES, LOG

    print(f"\n{counted(len(result.history), 'epoch')}, {result.seconds:.0f} s; ", end="")
    if "temperature" in result.classifier.metadata:
        print(f"temperature {result.classifier.metadata['temperature']:.2f}; ", end="")
    probabilities = result.classifier.predict(validation.images)
    report = metrics.compute_report(probabilities, validation.targets, result.classifier.labels)
    print(f"kept epoch {result.best_epoch}; validation, single crop:")
    print(report.table(), report.summary(), sep="\n\n")
    examples = result.run_dir / "examples.png"
    curves.example_sheet(validation, probabilities, examples, title=result.output.stem)
    print(f"\nmodel {result.output}, curves {result.run_dir / CURVES}, log {result.run_dir / LOG}")
    print(f"validation images with their predicted labels: {examples}")
    print(f"label images of your own: python predict_folder.py FOLDER --model {shlex.quote(str(result.output))}")


def draw_network(recipe: Recipe, path: str) -> int:
    """Prints the network as text and draws it where Graphviz is installed."""
    with terminal.quiet():
        from fer.core import labels
        from fer.models import networks
        from fer.training import fit

    network = fit.build(recipe, labels.FER2013)
    network.summary()
    networks.diagram(network, path)
    print(f"wrote {path}")
    return 0
