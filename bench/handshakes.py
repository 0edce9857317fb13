"""`python -m bench.handshakes RATE SECONDS HOST...`: TLS handshakes on a timetable (open loop).

By way of `bench.clients`: each request is a handshake. Every other one is for the first host, the
rest is for the others in turn. Prints one line of JSON; `seen` has, by the common name of a
certificate, when it was first shown (CLOCK_MONOTONIC).
"""

import json
import sys
import time

from bench.clients import CLIENTS, MOST_AT_ONCE, SHOWN
from bench.load import OpenLoop, request_for


def main() -> None:
    """Run, and print what came of it."""
    rate, lasts_s, first, *others = sys.argv[1:]
    seen: dict[str, float] = {}

    def answered(data: bytes) -> None:
        name = data.partition(SHOWN)[2].partition(b"\r\n")[0].decode()
        seen.setdefault(name, time.monotonic())

    requests = [request_for(host, "/") for other in others for host in (first, other)]
    loop = OpenLoop(CLIENTS, requests, answered, most=MOST_AT_ONCE)
    loop.run(float(rate), float(lasts_s))
    print(
        json.dumps(
            {
                "failures": {what: count for what, count in loop.failures.items() if count},
                "latencies_s": loop.latencies_s,
                "seen": seen,
            }
        )
    )


if __name__ == "__main__":
    main()
