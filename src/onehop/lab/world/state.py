"""What a lab knows of itself, on disk, so that the next command finds it.

All of it is in /run, which is empty after a boot, as are the namespaces it speaks of.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Final

import msgspec

from onehop.base.errors import ConfigError, TransientError
from onehop.lab.world.plan import Plan
from onehop.lab.world.process import Process

ROOT: Final = Path("/run/onehop-lab")


class Fault(msgspec.Struct, frozen=True, order=True):
    """A fault that has been made and not been mended; `where` is "" if there is one place only."""

    what: str
    where: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down.

    Attributes:
        is_complete: whether `up` came to its end.
        door_port: where the machine's loopback leads to the API.
    """

    plan: Plan
    is_complete: bool = False
    door_port: int = 0
    faults: tuple[Fault, ...] = ()


class State:
    """The directory of a lab."""

    def __init__(self, name: str) -> None:
        self.folder = ROOT / name
        self.kubeconfig = self.folder / "kubeconfig"
        """For this machine: it leads through the door."""
        self.inner_kubeconfig = self.folder / "kubeconfig.lab"
        """For those inside."""
        self.manifests = self.folder / "manifests"
        self._record = self.folder / "lab.json"
        self._processes = self.folder / "processes"

    def exists(self) -> bool:
        """Tell whether there is anything."""
        return self.folder.exists()

    def make(self) -> None:
        """Make the directory; nobody but root may look into it."""
        ROOT.mkdir(mode=0o755, exist_ok=True)
        for folder in (self.folder, self.manifests, self._processes, self.folder / "logs"):
            folder.mkdir(mode=0o700, exist_ok=True)

    def remove(self) -> None:
        """Remove it all."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            ROOT.rmdir()  # another lab may be in there

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Keep other commands from changing the lab meanwhile.

        Raises:
            TransientError: one of them is at it.
        """
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                raise TransientError(
                    f"another command is changing the lab {self.folder.name!r}; wait for its end"
                ) from err
            yield
        finally:
            os.close(handle)

    def load(self) -> Record:
        """Return what is written down.

        Raises:
            ConfigError: there is no such lab.
        """
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError as err:
            raise ConfigError(
                f"there is no lab {self.folder.name!r}; make one with: onehop lab up"
            ) from err

    def save(self, record: Record) -> None:
        """Write it down, all or nothing."""
        self._write(self._record, msgspec.json.encode(record))

    def note(self, process: Process) -> None:
        """Write down a process that was started."""
        self._write(self._processes / process.who, msgspec.json.encode(process))

    def forget(self, who: str) -> None:
        """Forget a process."""
        (self._processes / who).unlink(missing_ok=True)

    def process(self, who: str) -> Process | None:
        """Return a process by name, dead or alive; None if it was never started."""
        try:
            return msgspec.json.decode((self._processes / who).read_bytes(), type=Process)
        except FileNotFoundError:
            return None

    def processes(self) -> tuple[Process, ...]:
        """Return all that were started, sorted by name."""
        names = sorted(file.name for file in self._processes.glob("*") if not file.suffix)
        found = (self.process(name) for name in names)
        return tuple(process for process in found if process is not None)

    def log(self, who: str) -> Path:
        """Return where a program's output goes."""
        return self.folder / "logs" / f"{who}.log"

    def home(self, who: str) -> Path:
        """Return a directory for a program's own files; it is there."""
        folder = self.folder / who
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _write(self, file: Path, content: bytes) -> None:
        draft = file.with_suffix(".new")
        draft.write_bytes(content)
        draft.replace(file)
