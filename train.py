"""Train a facial-expression network.

    python train.py --data demo --recipe quick --output models/demo.keras
    python train.py --data fer2013/ --recipe four-block --output models/mine.keras

The epoch that validates best becomes the model file; log, curves and checkpoint go to the run folder. After Ctrl-C or
a crash, `python train.py --resume --run-dir runs/mine` goes on after the last finished epoch.
"""

import dataclasses
import time
from pathlib import Path

from fer import FerError, cli, configuration
from fer.images import InputSpec


def parse_args(argv=None):
    parser = cli.parser(__doc__)
    cli.add_data_arguments(parser)
    configuration.add_arguments(parser)
    return parser.parse_args(argv)


def main(args):
    if args.list_recipes:
        print(configuration.recipe_table())
        return 0
    config = configuration.resolve(args)
    recipe = config.recipe
    from fer import dataset

    data = dataset.load(
        config.data,
        InputSpec(recipe.size, recipe.channels),
        votes=config.votes,
        vote_mode=config.vote_mode,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        progress=cli.progress,
    )
    for split, part in data.items():
        print(cli.describe_data(split, part))
    train, validation = data["train"], data["validation"]

    from fer import hardware, metrics, training  # Keras takes seconds to import: data and flags are checked by now
    from fer.classifier import Classifier

    dtype = hardware.dtype_policy(config.precision)
    print(f"training {recipe.network} ({recipe.name}) on {hardware.describe()}, {dtype}")
    if idle := hardware.warning():
        print(f"warning: {idle}")
    config.write()
    pictures = {split: len(part) for split, part in data.items()}
    about = {"source": config.data, "votes": config.votes, "vote_mode": config.vote_mode if config.votes else None}
    notes = {
        "data": about | pictures,
        "recipe": dataclasses.asdict(recipe),
        "seed": config.seed,
        "device": hardware.describe(),
        "dtype": dtype,
    } | configuration.circumstances()
    order = training.Training(recipe, config.seed, dtype, Path(config.output), Path(config.run_dir), notes, args.tensorboard)
    init = Classifier.load(config.init) if config.init else None
    started = time.perf_counter()
    try:
        run = training.fit(train, validation, order, init=init, resume=args.resume, verbose=cli.verbosity())
    except KeyboardInterrupt:
        kept = f"best model so far: {config.output}; " if Path(config.output).exists() else ""
        print(f"\nstopped; {kept}go on with: python train.py --resume --run-dir {config.run_dir}")
        return 130
    if run.best.epoch is None:
        raise FerError(f"no epoch gave a finite {recipe.keep_best}: lower --learning-rate")
    classifier = Classifier.load(config.output)
    report = metrics.report(classifier.predict(validation.images), validation.targets, classifier.labels)
    print(f"\n{len(run.history)} epochs, {time.perf_counter() - started:.0f} s; kept epoch {run.best.epoch}; validation, single view:")
    print(report.table(), report.summary(), sep="\n\n")
    print(f"\nmodel {config.output}, curves {Path(config.run_dir, 'curves.png')}, log {Path(config.run_dir, 'log.csv')}")
    return 0


if __name__ == "__main__":
    cli.run(main, parse_args)
