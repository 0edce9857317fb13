"""The `onehop` command.

Enters: arguments. Leaves: text, JSON, exit codes: 0 fine, 1 a check failed or the world would not,
2 wrong use or configuration. Nothing imports it.
"""

from onehop.cli.app import main

__all__ = ["main"]
