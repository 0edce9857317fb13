"""Our part of a unit: what it holds, as far as we know, and how an object becomes what it shall be.

The unit has no revisions and no transactions: the last writer wins. So objects are ours as a whole,
one writer at a time has each of them, and what was read or answered last is kept and compared
before anything is written. After a write whose answer did not come, or at another member of the
cluster, an object is read again first.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import structlog

from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.vtm.abreast import abreast
from onehop.driver.vtm.certificate import key_digest
from onehop.driver.vtm.compare import differences, fields_of, writable
from onehop.driver.vtm.content import Content, Kind, ObjectKey
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.preflight import Profile, look_at
from onehop.driver.vtm.rest import Rest
from onehop.model.certificate import SecretText

log = structlog.get_logger(__name__)


class Drift(msgspec.Struct, frozen=True):
    """An object that somebody else has changed.

    Attributes:
        fields: as `basic.port`; empty for one that is gone.
    """

    key: ObjectKey
    fields: tuple[str, ...]


class Unit:
    """What is known of our objects on the unit.

    Args:
        rest: the way to it.
        names: tell which objects are ours.
        wanted: what an object shall be at this moment; None for not at all.
        replication_s: until what is written at one member is surely at the others.
    """

    def __init__(
        self,
        rest: Rest,
        names: Names,
        wanted: Callable[[ObjectKey], Content | None],
        *,
        replication_s: float = 0.0,
    ) -> None:
        self.held: dict[ObjectKey, Content] = {}
        """As read or answered last."""
        self.stilled: frozenset[Kind] = frozenset((Kind.SERVER,))
        """What is disabled when it shall not be. A group is not: its address would be nobody's
        for those who are connected; but it is when another machine has the addresses."""
        self.profile: Profile | None = None
        self.astray: set[ObjectKey] = set()
        """What was written at the last member a moment ago, and may be missing at this one."""
        self._written_at: dict[ObjectKey, float] = {}
        self._replication_s = replication_s
        self._rest = rest
        self._names = names
        self._wanted = wanted
        self._foreign: set[ObjectKey] = set()
        self._uncertain: set[ObjectKey] = set()
        self._locks: defaultdict[ObjectKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def connect(self) -> Profile:
        """Look at the member that is spoken to; the objects come by `read_all`.

        Raises:
            DriverUnavailable: it does not answer, or is not what we can speak with.
        """
        self.profile = await look_at(self._rest)
        return self.profile

    def doubt(self) -> None:
        """Read every object again before it is written: somebody else may have written it."""
        self._uncertain |= self.held.keys()

    def move(self) -> None:
        """Doubt everything: this is another member, and its copy may lag."""
        self.doubt()
        self.profile = None
        since = time.monotonic() - self._replication_s
        self.astray |= {key for key, at in self._written_at.items() if at > since}
        self._uncertain |= self.astray
        self._written_at.clear()

    async def read_all(self) -> tuple[Drift, ...]:
        """Read all objects of ours; return which have been changed by somebody else.

        Raises:
            DriverUnavailable: before all was read; what was read is kept.
        """
        before = {key: held for key, held in self.held.items() if key not in self._uncertain}
        listed: set[ObjectKey] = set()
        try:
            for kind in Kind:
                names = await self._rest.children(f"{self._rest.config}/{kind}/")
                listed |= {ObjectKey(kind, n) for n in names if n.startswith(self._names.prefix)}
        except RejectedError as err:
            raise DriverUnavailable(f"reading what is there: {err}") from err
        self._foreign &= listed
        await abreast(sorted(listed | self.held.keys()), self._read, self._rest.window)
        return tuple(self._drifted(before))

    async def settle(self, key: ObjectKey) -> None:
        """Bring one object to what it shall be now, by at most one write; see the module.

        An object that shall not be is not deleted; a virtual server stops listening. See `stilled`.

        Raises:
            RejectedError: the unit refuses it, or it is not ours.
            DriverUnavailable: the unit does not answer.
            NotTheWriter: another host writes.
        """
        async with self._locks[key]:
            await self._make_sure(key)
            self.astray.discard(key)
            difference = self._difference(key)
            if difference is None:
                return
            if key in self._foreign:
                raise RejectedError(f"{key}: is on the unit without our mark, and is left alone")
            await self._write(key, difference)
            if self._difference(key) is None:
                return
            # Taken in part: once more, and no further; the next comparison will tell it as drift.
            await self._write(key, self._difference(key))
            left = self._difference(key)
            if left is not None:
                log.warning("vtm_keeps_another_value", object=str(key), fields=fields_of(left))

    async def delete(self, key: ObjectKey) -> None:
        """Delete an object of ours, unless it is wanted after all.

        Raises:
            RejectedError: it is in use, or not ours.
            DriverUnavailable: the unit does not answer.
            NotTheWriter: another host writes.
        """
        async with self._locks[key]:
            await self._make_sure(key)
            if self._wanted(key) is not None or key not in self.held:
                return
            self._uncertain.add(key)
            await self._rest.delete(key)
            self._uncertain.discard(key)
            self._written_at.pop(key, None)
            del self.held[key]

    def differs(self, key: ObjectKey) -> bool:
        """Tell whether an object is not yet what it shall be, as far as we know."""
        return key in self._uncertain or self._difference(key) is not None

    def listens(self, key: ObjectKey) -> bool:
        """Tell whether a virtual server that is there takes connections."""
        content = self.held.get(key)
        if key.kind is not Kind.SERVER or content is None or isinstance(content, str):
            return False
        return bool(content.get("basic", {}).get("enabled"))

    def _difference(self, key: ObjectKey, have: Content | None = None) -> Content | None:
        have = have if have is not None else self.held.get(key)
        want = self._wanted(key)
        if want is not None:
            return differences(self._known(key, want), have)
        if key.kind in self.stilled and have is not None:
            return differences({"basic": {"enabled": False}}, have)
        return None

    def _known(self, key: ObjectKey, want: Content) -> Content:
        lacks = self.profile.lacks if self.profile is not None else frozenset()
        if isinstance(want, str) or not any(kind is key.kind for kind, _ in lacks):
            return want
        return {
            section: {f: value for f, value in fields.items() if (key.kind, f) not in lacks}
            for section, fields in want.items()
        }

    async def _write(self, key: ObjectKey, difference: Content | None) -> None:
        if difference is None:
            return
        self._uncertain.add(key)
        if isinstance(difference, str):
            await self._rest.write(key, difference)
            self.held[key] = difference
        else:
            answer = await self._rest.write(key, writable(difference))
            self.held[key] = answer or _merged(self.held.get(key), difference)
        self._written_at[key] = time.monotonic()
        self._uncertain.discard(key)

    async def _make_sure(self, key: ObjectKey) -> None:
        if key in self._uncertain:
            await self._look_at(key)

    async def _read(self, key: ObjectKey) -> None:
        async with self._locks[key]:
            await self._look_at(key)

    async def _look_at(self, key: ObjectKey) -> None:
        try:
            content = await self._rest.read(key)
        except RejectedError as err:
            raise DriverUnavailable(f"reading {key}: {err}") from err
        self._uncertain.discard(key)
        self._foreign.discard(key)
        self.held.pop(key, None)
        if content is None:
            return
        if self._names.is_ours(key.name, _mark(content)):
            self.held[key] = content
        else:
            self._foreign.add(key)

    def _drifted(self, before: Mapping[ObjectKey, Content]) -> Iterator[Drift]:
        """Yield what was as it shall be, and is not: what we have yet to write is no drift."""
        for key in sorted(before):
            if key in self._uncertain or self._wanted(key) is None:
                continue
            if key not in self.held:
                yield Drift(key, ())
                continue
            late = fields_of(self._difference(key, before[key]))
            changed = [f for f in fields_of(self._difference(key)) if f not in late]
            if changed:
                yield Drift(key, tuple(changed))


def _mark(content: Content) -> str:
    if isinstance(content, str):
        return content.partition("\n")[0]
    return str(content.get("basic", {}).get("note", ""))


def _merged(have: Content | None, difference: Mapping[str, Mapping[str, Any]]) -> Content:
    """Return what the unit holds after a PUT that it answered without the object."""
    before = have if have is not None and not isinstance(have, str) else {}
    sections = {name: dict(fields) for name, fields in before.items()}
    for name, fields in difference.items():
        told = {
            field: key_digest(value.reveal) if isinstance(value, SecretText) else value
            for field, value in fields.items()
        }
        sections.setdefault(name, {}).update(told)
    return sections
