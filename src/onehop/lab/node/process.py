"""A Pod's process: how it is named in the API, and whether it is still there.

The number of a process is given again to another one, so its start time is part of its mark.
"""

import os
import signal
from pathlib import Path
from typing import Final

_STATE: Final = 0
_START: Final = 19
"""Fields 3 and 22 of /proc/PID/stat, counted behind the name (proc(5))."""


def process_mark(pid: int) -> str:
    """Return what `PodPlan.process` shall say of a running process: `PID:START`.

    Raises:
        ProcessLookupError: there is none.
    """
    fields = _stat(pid)
    if fields is None:
        raise ProcessLookupError(f"no process {pid}")
    return f"{pid}:{fields[_START]}"


def is_alive(mark: str) -> bool:
    """Return whether the process of a mark exists, and is no zombie."""
    pid, _, start = mark.partition(":")
    fields = _stat(int(pid)) if pid.isdecimal() else None
    return fields is not None and fields[_START] == start and fields[_STATE] not in {"Z", "X"}


def send(mark: str, number: signal.Signals) -> None:
    """Send a signal to the process of a mark, if it is still there."""
    if is_alive(mark):
        os.kill(int(mark.partition(":")[0]), number)


def _stat(pid: int) -> list[str] | None:
    """Return the fields behind the name, which itself may hold spaces and parentheses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
