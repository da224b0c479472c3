"""The names of `arguments` and `terminal` under one."""

from fer.cli.arguments import *  # noqa: F403
from fer.cli.terminal import *  # noqa: F403
