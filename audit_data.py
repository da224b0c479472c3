"""Audit a data set before training: duplicates, leakage between splits, conflicting labels, unreadable files."""

from fer.cli.audit_data import main, parse_args
from fer.cli.terminal import run

if __name__ == "__main__":
    run(main, parse_args)
