"""`python -m bench [--quick] [--only ROW,ROW] [--list]`."""

import argparse
import datetime as dt
import os
import platform
import signal
import sys
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from bench import (
    namespace,
    row_acme,
    row_acme_faults,
    row_edit,
    row_endpoint,
    row_gateway,
    row_haproxy,
    row_haproxy_edit,
    row_ingress,
    row_ladder,
    row_move,
    row_nftables,
    row_quiet,
    row_reach,
    row_start,
    row_swap,
    row_throughput,
    row_tls,
    row_vtm,
)
from bench.report import print_table
from bench.row import Result, Row
from bench.world import World
from onehop.telemetry.log import configure_logging

RESULTS: Final = Path(__file__).parent / "results"
ROWS: Final = (
    *row_start.ROWS,
    *row_quiet.ROWS,
    *row_endpoint.ROWS,
    *row_ingress.ROWS,
    *row_edit.ROWS,
    *row_gateway.ROWS,
    *row_reach.ROWS,
    *row_ladder.ROWS,
    *row_throughput.ROWS,
    *row_nftables.ROWS,
    *row_haproxy.ROWS,
    *row_haproxy_edit.ROWS,
    *row_tls.ROWS,
    *row_swap.ROWS,
    *row_move.ROWS,
    *row_acme.ROWS,
    *row_acme_faults.ROWS,
    *row_vtm.ROWS,
)


def main() -> int:
    """Run the rows that were asked for; the exit code says whether all met their targets."""
    parser = argparse.ArgumentParser(prog="bench", description=sys.modules["bench"].__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny, to see that everything works")
    parser.add_argument("--only", default="", help="names of rows, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON lines")
    arguments = parser.parse_args()
    rows = _chosen(arguments.only, parser)
    if arguments.list:
        for row in rows:
            print(f"{row.name:16} {row.what}")
        return 0
    namespace.enter(sys.argv[1:])
    configure_logging(level="error")  # to stderr: stdout is for rows
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are ended, too
    results = _run(rows, quick=arguments.quick, folder=arguments.results)
    print_table(results)
    return 1 if any(result.missed for result in results) else 0


def _chosen(names: str, parser: argparse.ArgumentParser) -> tuple[Row, ...]:
    wanted = {name for name in names.split(",") if name}
    unknown = wanted - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; see --list")
    return tuple(row for row in ROWS if not wanted or row.name in wanted)


def _run(rows: tuple[Row, ...], *, quick: bool, folder: Path) -> list[Result]:
    """Run rows, those that share a world one after another; write each as soon as it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    results: list[Result] = []
    by_size = sorted(rows, key=lambda row: msgspec.structs.astuple(row.world_size(quick=quick)))
    with (folder / f"{stamp}.jsonl").open("w") as file:
        for size, group in groupby(by_size, key=lambda row: row.world_size(quick=quick)):
            with World(size) as world:
                for row in group:
                    result = row.run(world, quick=quick)
                    line = msgspec.json.encode({**msgspec.to_builtins(result), "on": _machine()})
                    for out in (file, sys.stdout):
                        out.write(line.decode() + "\n")
                        out.flush()
                    results.append(result)
    return results


def _machine() -> dict[str, object]:
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    sys.exit(main())
