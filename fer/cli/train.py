"""Train a facial-expression network.

    python train.py --data demo --recipe quick --output models/demo.keras
    python train.py --data fer2013/ --recipe four-block --output models/mine.keras

The epoch that validates best becomes the model file; log, curves and checkpoint go to the run folder. After Ctrl-C or
a crash, `python train.py --resume --run-dir runs/mine` goes on after the last finished epoch.
"""

import dataclasses
import shlex
from pathlib import Path

from fer.cli import common, train_arguments
from fer.core import files
from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import dataset
from fer.models.model_file import read_info


def parse_args(argv=None):
    parser = common.parser(__doc__)
    common.add_data_arguments(parser)
    train_arguments.add_arguments(parser)
    return parser.parse_args(argv)


def main(args):
    if args.list_recipes:
        print(train_arguments.recipe_table())
        return 0
    config = train_arguments.resolve(args)
    recipe = config.recipe
    for path in (*([config.init] if config.init and not args.resume else []), *config.teacher):
        read_info(path)  # a bad file shows before the data are loaded
        if Path(path).suffix != ".keras":
            raise FerError(f"{path}: an exported model is neither trained on nor learnt from: give its .keras file")
    if args.diagram:
        return draw(recipe, args.diagram)
    splits, votes = ("train", "validation"), {"vote_mode": config.vote_mode, "vote_share": recipe.vote_share}
    data = common.load_data(config, InputSpec(recipe.size, recipe.channels), splits, **votes)
    if config.refit:
        data["train"] = dataset.join([data["train"], data["validation"]])
        print("--refit: the validation pictures are trained on as well; what is said of them is no validation score")
    if recipe.drop_blank:
        data["train"] = data["train"].without_blank()
    if recipe.average_twins:
        data["train"] = data["train"].averaging_twins()
    for split, part in data.items():
        print(common.describe_data(split, part))
    with common.quiet():  # Keras takes seconds to import: flags and data are checked by now
        from fer.evaluation import metrics
        from fer.models import device
        from fer.models.classifier import Classifier
        from fer.training import calibration, fit, run_folder

        hardware, warning, dtype = device.describe(), device.warning(), device.dtype_policy(config.precision)
    print(f"training {recipe.network} (recipe {recipe.name}) on {hardware}, {dtype}")
    if warning:
        print(f"warning: {warning}")

    init = Classifier.load(config.init) if config.init and not args.resume else None
    teachers = [Classifier.load(path) for path in config.teacher]
    fit.build(recipe, data["train"].labels)  # refuses what cannot be built, before anything is written
    files.check_writable(config.output)
    if not args.resume:
        # What "auto" came to: another machine resumes with the same arithmetic.
        config = dataclasses.replace(config, precision=dtype.removeprefix("mixed_"))
        config.write()
    pictures = {split: len(part) for split, part in data.items()}
    notes = config.notes() | {"pictures": pictures, "device": hardware, "dtype": dtype}
    output, run_dir = Path(config.output), Path(config.run_dir)
    task = fit.Training(recipe, config.seed, dtype, output, run_dir, notes, args.tensorboard, config.refit)
    options = {"init": init, "teachers": teachers, "resume": args.resume, "verbose": common.verbosity()}
    try:
        run = fit.fit(data["train"], data["validation"], task, **options)
    except KeyboardInterrupt:
        if not Path(run_dir, run_folder.CHECKPOINT).exists():
            print("\nstopped within the first epoch: there is nothing to keep yet")
            return 130
        kept = f"best model so far: {output}; " if output.exists() else ""
        print(f"\nstopped; {kept}go on with: python train.py --resume --run-dir {shlex.quote(config.run_dir)}")
        return 130
    if run.best.epoch is None:
        raise FerError(f"no epoch gave a finite {recipe.keep_best}; lower --learning-rate")

    print(f"\n{len(run.history)} epochs, {sum(row['seconds'] for row in run.history):.0f} s; ", end="")
    if config.refit:
        print(f"kept the last epoch\n\nmodel {output}, log {run_dir / run_folder.LOG}")
        return 0
    classifier, validation = Classifier.load(config.output), data["validation"]
    if recipe.calibrate and "temperature" not in classifier.metadata:
        classifier = calibration.calibrate(classifier, validation.images, validation.targets)
        classifier.save(output)
        print(f"temperature {classifier.metadata['temperature']:.2f}; ", end="")
    report = metrics.compute_report(classifier.predict(validation.images), validation.targets, classifier.labels)
    print(f"kept epoch {run.best.epoch}; validation, single view:")
    print(report.table(), report.summary(), sep="\n\n")
    print(f"\nmodel {output}, curves {run_dir / run_folder.CURVES}, log {run_dir / run_folder.LOG}")
    return 0


def draw(recipe, path):
    """The network as text, then as a picture where Graphviz is installed."""
    with common.quiet():
        from fer.core import labels
        from fer.models import networks
        from fer.training import fit

    network = fit.build(recipe, labels.FER2013)
    network.summary()
    networks.diagram(network, path)
    print(f"wrote {path}")
    return 0
