"""`python -m bench.newcomers ADDRESS HOST RATE SECONDS`: connections on a timetable (open loop).

Each request opens a connection and has it closed. Prints one line of JSON.
"""

import json
import sys

from bench.load import OpenLoop
from bench.row import spread_ms


def main() -> None:
    """Run, and print what came of it."""
    address, host, rate, lasts_s = sys.argv[1:]
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    loop = OpenLoop(address, [request], lambda _data: None)
    loop.run(float(rate), float(lasts_s))
    print(
        json.dumps(
            {
                "requests": len(loop.latencies_s) + loop.failures.total(),
                "failures": {what: count for what, count in loop.failures.items() if count},
                **spread_ms(loop.latencies_s),
            }
        )
    )


if __name__ == "__main__":
    main()
