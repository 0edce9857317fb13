"""What `ip` says of a machine's routes, and changing many of them at once."""

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any, Final

from onehop.model.address import Cidr, IpAddr, is_ipv6, parse_cidr
from onehop.model.reach import FibRoute, Hop, RouteKind
from tests.net.namespaces import Machine

_FAILED: Final = re.compile(r"^Command failed -:(\d+)", re.MULTILINE)
_ANSWER: Final = re.compile(r"^\[.*?\]\s*$", re.MULTILINE | re.DOTALL)


def batch(machine: Machine, lines: Iterable[str], *flags: str) -> None:
    """Have `ip` carry out commands, one a line; with `-force` those that fail are passed over."""
    _ip(machine, lines, *flags, check="-force" not in flags)


def lookups(machine: Machine, addresses: Sequence[IpAddr]) -> list[dict[str, Any] | None]:
    """Return what `ip route get fibmatch` says of each address; None where it fails."""
    lines = [f"route get fibmatch {address}" for address in addresses]
    done = _ip(machine, lines, "-force", "-json", *(["-6"] if is_ipv6(addresses[0]) else []))
    failed = {int(number) - 1 for number in _FAILED.findall(done.stderr)}
    found = iter(
        [json.loads(text)[0] for text in _ANSWER.findall(done.stdout) if text.strip("[ ]\n")]
    )
    return [None if index in failed else next(found) for index in range(len(addresses))]


def route_of(said: dict[str, Any] | None, *, ipv6: bool) -> FibRoute | None:
    """Return a look-up of `ip` as the model has it; refusals are failures there, and None."""
    if said is None:
        return None
    text = "::/0" if ipv6 else "0.0.0.0/0"
    prefix = Cidr(text) if said["dst"] == "default" else parse_cidr(said["dst"])
    assert prefix is not None
    hops = [_hop(each) for each in said.get("nexthops", [said]) if "dev" in each]
    return FibRoute(
        prefix=prefix,
        kind=RouteKind.LOCAL if said.get("type") in {"local", "anycast"} else RouteKind.UNICAST,
        hops=tuple(sorted(hops)),
        table={"main": 254, "local": 255}.get(said.get("table", "main")) or int(said["table"]),
        origin=said.get("protocol", "boot"),
    )


def _hop(said: dict[str, Any]) -> Hop:
    return Hop(said["dev"], said.get("gateway") or said.get("via", {}).get("host"))


def _ip(
    machine: Machine, lines: Iterable[str], *flags: str, check: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ip", "-n", machine.name, *flags, "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=check,
    )
