"""Clients that stay with their endpoint: a table per pool, which the next worker is taught.

HAProxy's manual, "stick-table", "stick on" and section 3.5, "Peers". An entry is a client's address
and the name of its server, which is bound to a socket: it means the same to every worker. Addresses
of IPv4 are kept as IPv6 has them, so one table serves both.

Who is in no table goes where its address points on a ring of the servers' numbers, which derive
from their names. So a client that comes to another host, or to a HAProxy that died and forgot
everything, finds its server again as long as the endpoints are those of its first time.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from onehop.driver.haproxy.place import Place
from onehop.model.pool import SourceIpPersistence

_REMEMBERED: Final = 100_000
"""Clients of a pool; beyond it the one that was seen longest ago is forgotten."""
_PEERS: Final = "onehop"
_STICK: Final = "stick on src"
_HIGHEST: Final = 2**31 - 1


def stick_lines(kept: SourceIpPersistence, place: Place) -> Iterator[str]:
    """Yield the lines of a pool's section; `src` is whom PROXY and X-Forwarded-For tell of.

    A HAProxy of somebody else teaches nobody: `localpeer` is one for all sections, theirs too.
    """
    expire = f"expire {int(kept.timeout_s)}s"
    taught = "" if place.is_shared else f" peers {_PEERS}"
    yield f"stick-table type ipv6 size {_REMEMBERED} {expire}{taught}"
    yield _STICK


def stick_to(section: str) -> str:
    """Return the line of another section whose clients stay where that one's table says."""
    return f"{_STICK} table {section}"


def keeps_clients(sections: Iterable[tuple[str, ...]]) -> bool:
    """Tell whether any section has a table for it."""
    return any(_STICK in lines for lines in sections)


def peers_section(place: Place) -> tuple[str, tuple[str, ...]]:
    """Return the section by which a worker that goes teaches the one that comes; no other host."""
    listens = f"bind {place.socket('peers')} mode 600"
    return f"peers {_PEERS}", (listens, f"server {_PEERS}")


def local_peer() -> str:
    """Return the line of `global` that says who we are in that section."""
    return f"localpeer {_PEERS}"


def numbers_of(names: Iterable[str]) -> dict[str, int]:
    """Return the numbers of servers by name, alike on all hosts and in all workers.

    Of two names that come to one number, as one pair of two thousand million does, the second has
    none: HAProxy gives it one.
    """
    by_number: dict[int, str] = {}
    for name in sorted(names):
        by_number.setdefault(_number(name), name)
    return {name: number for number, name in by_number.items()}


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % _HIGHEST + 1
