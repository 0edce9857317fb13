"""`python -m bench.floor.haproxy DIR HAPROXY VIP SERVICES ENDPOINTS`: an HAProxy made by hand.

What somebody has who writes a haproxy.cfg and moves Pods by the runtime API: hosts in a map, a
backend for each Service with a server line for each Pod, and `add server` or `set server ... state`
for what comes and goes, all that a Service needs in one line. `set server ... addr`, which would be
less, is no way: HAProxy 2.6 sends further requests of a client that was being answered meanwhile
over the connection to the old address. The floor knows no Kubernetes, checks nothing and deletes
nothing. It imports nothing of onehop, and does not change when onehop does.

Orders come as lines of JSON on stdin (`bench.orders`: move).
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SIDES = ("198.18", "198.19")
PORT = 8080

_HEAD = """\
global
    maxconn 2000
    nbthread 1
    stats socket {folder}/runtime.sock mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 300s
    timeout server 300s
frontend http
    bind {vip}:80
    use_backend %[req.hdr(host),field(1,:),lower,map_str({folder}/hosts.map)]
"""
_BACKEND = """\
backend app-{number}
    balance leastconn
"""


def addresses(number: int, count: int, side: int) -> Iterator[str]:
    """Yield a Service's Pods on one side: the product's own are the same."""
    for place in range(number * count, (number + 1) * count):
        yield f"{SIDES[side]}.{place >> 8 & 255}.{place & 255}"


def configure(folder: Path, vip: str, services: int, endpoints: int) -> Path:
    """Write what HAProxy starts with, and return the file to give it."""
    hosts = (f"{number}-route.example.com app-{number}\n" for number in range(services))
    (folder / "hosts.map").write_text("".join(hosts))
    text = [_HEAD.format(folder=folder, vip=vip)]
    for number in range(services):
        text.append(_BACKEND.format(number=number))
        text += (
            f"    server pod-0-{place} {address}:{PORT}\n"
            for place, address in enumerate(addresses(number, endpoints, 0))
        )
    config = folder / "haproxy.cfg"
    config.write_text("".join(text))
    return config


class Floor:
    """What was told to the HAProxy that runs.

    Args:
        runtime: its socket.
        endpoints: of each Service.
    """

    def __init__(self, runtime: Path, endpoints: int) -> None:
        self._runtime = runtime
        self._endpoints = endpoints
        self._added: set[tuple[int, int]] = set()

    def move(self, number: int, side: int) -> None:
        """Replace all Pods of a Service."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._runtime))
            connection.sendall("; ".join(self._commands(number, side)).encode() + b"\n")
            while connection.recv(65536):
                pass

    def _commands(self, number: int, side: int) -> Iterator[str]:
        is_new = bool(side) and (number, side) not in self._added
        self._added.add((number, side))
        for place, address in enumerate(addresses(number, self._endpoints, side)):
            server = f"app-{number}/pod-{side}-{place}"
            if is_new:
                yield f"add server {server} {address}:{PORT}; enable server {server}"
            else:
                yield f"set server {server} state ready"
        for place in range(self._endpoints):
            yield f"set server app-{number}/pod-{1 - side}-{place} state maint"


def main() -> None:
    """Serve until stdin ends."""
    folder, binary, vip = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    services, endpoints = int(sys.argv[4]), int(sys.argv[5])
    config = configure(folder, vip, services, endpoints)
    command = ("setpriv", "--pdeathsig", "KILL", "--", binary, "-db", "-f", str(config))
    floor = Floor(folder / "runtime.sock", endpoints)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # as the product's has: Linux shares processors between sessions
    ) as child:
        for line in sys.stdin:
            order = json.loads(line)
            now = time.monotonic()
            floor.move(order["number"], order["side"])
            sys.stdout.write(json.dumps({"at": now}) + "\n")
            sys.stdout.flush()
        child.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # HAProxy goes with us: --pdeathsig
    main()
