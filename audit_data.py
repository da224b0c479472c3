"""Look at a data set before training on it: counts, odd pictures, twins, leaks between splits, labels in doubt."""

from fer.cli.audit_data import main, parse_args
from fer.cli.common import run

if __name__ == "__main__":
    run(main, parse_args)
