"""`python -m onehop.lab.vtm`: an imitated cluster of two traffic managers, to try the driver on."""

import argparse
import asyncio
import contextlib
import signal
import sys

from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Behaviour
from onehop.lab.vtm.cluster import USERNAME, VtmCluster, Write
from onehop.lab.vtm.server import serve_vtm


def main() -> None:
    """Serve until Ctrl-C, and print each write."""
    parser = argparse.ArgumentParser(prog="python -m onehop.lab.vtm", description=__doc__)
    parser.add_argument("--port", type=int, default=9070, help="of the first member")
    parser.add_argument(
        "--other-way", action="store_true", help="turn every unknown of a real unit the other way"
    )
    given = parser.parse_args()
    asyncio.run(_serve(given.port, THE_OTHER_WAY if given.other_way else ONE_WAY))


async def _serve(port: int, behaviour: Behaviour) -> None:
    cluster = VtmCluster(behaviour)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    cluster.on_write = _tell
    async with serve_vtm(cluster, port) as urls:
        _say(f"urls: {' '.join(urls)}")
        _say(f"username: {USERNAME}")
        _say(f"password: {cluster.password}")
        _say("This is no vTM: it carries no traffic, and shows what would be written to one.")
        await stopped.wait()


def _tell(write: Write) -> None:
    _say(f"{write.method} {write.collection}/{write.name} {' '.join(write.sections)}".rstrip())


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
