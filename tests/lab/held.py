"""TCP sessions that are held open, as a program: it runs in the network of the lab's client.

Arguments: address, port, how many sessions, and the seconds between two lines of each; 0 says
nothing after the greeting. It prints `open` when all of them stand; ended by the end of its
standard input, it prints what became of each.
"""

import asyncio
import sys

import msgspec


class Held(msgspec.Struct):
    """A session.

    Attributes:
        pod: whom it was with.
        ended_at: when it ended by itself, by CLOCK_MONOTONIC; None if it stood until the end.
    """

    pod: str
    ended_at: float | None = None


async def _hold(
    held: Held, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], every_s: float
) -> None:
    reader, writer = streams
    try:
        while True:
            if every_s:
                await asyncio.sleep(every_s)
                writer.write(b"still here\n")
            if not await reader.readline():
                break
    except ConnectionError:
        pass
    finally:
        writer.close()
    held.ended_at = asyncio.get_running_loop().time()


async def main() -> None:
    """Hold sessions until standard input ends."""
    address, port, count, every_s = sys.argv[1:]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    sessions: list[Held] = []
    async with asyncio.TaskGroup() as group:
        tasks = []
        for _ in range(int(count)):
            streams = await asyncio.open_connection(address, int(port))
            held = Held((await streams[0].readline()).decode().split()[0])
            sessions.append(held)
            tasks.append(group.create_task(_hold(held, streams, float(every_s))))
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await ended.wait()
        for task in tasks:
            task.cancel()
    sys.stdout.buffer.write(msgspec.json.encode(sessions))


if __name__ == "__main__":
    asyncio.run(main())
