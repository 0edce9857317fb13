"""Explaining what would be, where nothing runs."""

from onehop.cli.explain.command import Form, show
from onehop.control.config import Config
from onehop.control.explain.journey import explain
from onehop.control.explain.offline import offline_facts


async def explain_offline(config: Config, target: str, form: Form, *, show_all: bool) -> bool:
    """Print the way to a target by the objects of a source and the routes of this host.

    Raises:
        ConfigError: no target is written like that, or the source cannot be opened.
        TransientError: the source, or the kernel's routes, cannot be read.
    """
    return show(explain(await offline_facts(config), target), form, show_all=show_all)
