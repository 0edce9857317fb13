"""Packets that a fault drops or refuses: an nftables table of its own, before all others."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from onehop.base.errors import RejectedError

if TYPE_CHECKING:
    from onehop.lab.world.world import World

Act: TypeAlias = Callable[["World", str], Awaitable[None]]
"""Does something to a place of a lab."""


async def drop(world: "World", who: str, name: str, rules: list[str]) -> None:
    """Load rules that drop or refuse, in the network of `who`, under the name of a fault.

    Raises:
        RejectedError: nft refuses them.
    """
    body = "\n".join(rules)
    chains = "\n".join(
        f"chain {hook} {{ type filter hook {hook} priority raw; policy accept;\n{body}\n}}"
        for hook in ("prerouting", "output")
    )
    table = f"inet fault_{name}"
    text = f"table {table}\ndelete table {table}\ntable {table} {{\n{chains}\n}}\n"
    done = await world.exec(who, "nft", "-f", "-", told=text)
    if done.code != 0:
        raise RejectedError(f"nft on {who}: {done.err.strip()}")


def let_pass(name: str) -> Act:
    """Return what removes such rules; where a fault has one place only, that is its name."""

    async def act(world: "World", where: str) -> None:
        # It may not be there: then there is nothing to be deleted.
        text = f"table inet fault_{name}\ndelete table inet fault_{name}\n"
        await world.exec(where or name, "nft", "-f", "-", told=text)

    return act
