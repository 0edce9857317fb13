"""`python -m bench.unit PORT CALL_MS`: an imitated vTM in a process of its own.

It prints a line of JSON for each write that it has carried out, with the clock that all processes
of a machine share (`clock_gettime(2)`, CLOCK_MONOTONIC), and the first node of a pool.
"""

import asyncio
import signal
import sys
import time

import msgspec

from onehop.lab.vtm import Behaviour, VtmCluster, serve_vtm
from onehop.lab.vtm.cluster import Write


class Carried(msgspec.Struct):
    """One write.

    Attributes:
        at_s: of CLOCK_MONOTONIC.
        node: the first of a pool's; empty for what is no pool, or has none.
    """

    at_s: float
    method: str
    collection: str
    name: str
    node: str = ""


async def _serve(port: int, call_s: float) -> None:
    cluster = VtmCluster(Behaviour(call_s=call_s), members=("tm-1",))
    objects = cluster.members[0].objects

    def tell(write: Write) -> None:
        content = objects.get((write.collection, write.name))
        node = ""
        if write.collection == "pools" and isinstance(content, dict):
            node = next((row["node"] for row in content["basic"]["nodes_table"]), "")
        said = Carried(time.monotonic(), write.method, write.collection, write.name, node)
        sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
        sys.stdout.buffer.flush()

    cluster.on_write = tell
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serve_vtm(cluster, port):
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
