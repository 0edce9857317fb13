"""A cluster of imitated traffic managers: what is written at one is seen at the others, later."""

import asyncio
import copy
import ipaddress
from collections.abc import Callable, Sequence
from http import HTTPStatus
from random import Random
from typing import Any, Final

import msgspec

from onehop.lab.vtm.behaviour import Behaviour, Faults
from onehop.lab.vtm.refusal import Refused, fault, invalid, not_found
from onehop.lab.vtm.schema import check, defaults, fields_at, schema
from onehop.lab.vtm.store import (
    Place,
    Stored,
    check_name,
    check_server,
    references,
    shown,
)
from onehop.lab.vtm.syntax import ScriptError
from onehop.lab.vtm.trafficscript import pools_named, understand

USERNAME: Final = "admin"
PASSWORD: Final = "open sesame"  # noqa: S105  of an imitation on a loopback address


class Write(msgspec.Struct, frozen=True):
    """One write that was carried out."""

    method: str
    collection: str
    name: str
    sections: tuple[str, ...] = ()


class Arrival(msgspec.Struct, frozen=True):
    """A write on its way to another member."""

    at: float
    origin: "Member"
    place: Place
    content: Stored | None


class Member:
    """One traffic manager of a cluster."""

    def __init__(self, name: str, cluster: "VtmCluster") -> None:
        self.name = name
        self.faults = Faults()
        self.objects: dict[Place, Stored] = {}
        self._cluster = cluster
        self._coming: list[Arrival] = []

    def settle(self) -> None:
        """Take over what has arrived from other members."""
        now = asyncio.get_running_loop().time()
        coming, self._coming = self._coming, []
        for each in coming:
            if each.at <= now:
                self._set(each.place, each.content)
            elif not (self._cluster.behaviour.loses_unreplicated and each.origin.faults.is_down):
                self._coming.append(each)

    def names(self, collection: str) -> list[str]:
        """Return the names of a collection's objects."""
        if collection not in schema():
            raise not_found(collection)
        if collection == "traffic_managers":
            return [member.name for member in self._cluster.members]
        return sorted(name for at, name in self.objects if at == collection)

    def get(self, place: Place, version: str, path: str) -> Stored:
        """Return an object as a GET has it.

        Raises:
            Refused: it is not there.
        """
        content = self.objects.get(place)
        if content is None:
            raise not_found(path)
        if isinstance(content, str):
            return content
        return shown(place[0], content, self._cluster.behaviour, version, self._cluster.random)

    def put_text(self, place: Place, text: str) -> bool:
        """Store a text; return whether it is new.

        Raises:
            Refused: see `Behaviour.checks_rules`.
        """
        self._check_place(place)
        if self._cluster.behaviour.checks_rules:
            try:
                understand(text)
            except ScriptError as err:
                raise Refused(HTTPStatus.BAD_REQUEST, "rule.syntax", str(err)) from err
        is_new = place not in self.objects
        kept = text.rstrip("\r\n") if self._cluster.behaviour.trims_texts else text
        self._written("PUT", place, kept, ())
        return is_new

    def put(self, place: Place, version: str, given: Any, *, is_halved: bool = False) -> bool:
        """Merge properties into an object; return whether it is new.

        Raises:
            Refused: with every fault.
        """
        self._check_place(place)
        before = self.objects.get(place)
        behaviour = self._cluster.behaviour
        taken = check(place[0], version, given, is_new=before is None, behaviour=behaviour)
        if is_halved:
            first = next(iter(taken))
            taken = {first: dict(list(taken[first].items())[:1])}
        content = copy.deepcopy(before) if isinstance(before, dict) else None
        merged = content if content is not None else defaults(place[0], behaviour.versions[-1])
        for section, fields in taken.items():
            merged.setdefault(section, {}).update(fields)
        if place[0] == "virtual_servers" and not is_halved:
            check_server(merged)
        if not behaviour.takes_dangling:
            self._check_references(place[0], merged)
        self._written("PUT", place, merged, tuple(taken))
        return before is None

    def delete(self, place: Place, path: str) -> None:
        """Delete an object.

        Raises:
            Refused: it is not there, or in use.
        """
        if place not in self.objects:
            raise not_found(path)
        if self._cluster.behaviour.refuses_used:
            users = [
                at for at, content in self.objects.items() if place in references(at[0], content)
            ]
            if users:
                text = f"'{place[1]}' is used by {users[0][0]} '{users[0][1]}'"
                raise Refused(HTTPStatus.BAD_REQUEST, "resource.in_use", text)
        self._written("DELETE", place, None, ())

    def errors(self) -> list[str]:
        """Return what `status/local_tm/state` complains of."""
        found = [
            f"{at[0]} {at[1]}: {target} '{name}' does not exist"
            for at, content in sorted(self.objects.items())
            for target, name in references(at[0], content)
            if (target, name) not in self.objects
        ]
        for (collection, name), content in sorted(self.objects.items()):
            if collection == "rules" and isinstance(content, str):
                found += self._script_errors(name, content)
        return found + self.faults.complaints

    def traffic_ips(self) -> dict[str, str]:
        """Return the addresses of all groups, and whether this member has them raised."""
        behaviour, told = self._cluster.behaviour, dict[str, str]()
        for (collection, _), content in self.objects.items():
            if collection != "traffic_ip_groups" or isinstance(content, str):
                continue
            basic = content["basic"]
            machines = sorted(basic["machines"], reverse=behaviour.raises_at_last)
            is_told = basic["enabled"] or self.faults.keeps_raised
            is_raised = is_told and machines[:1] == [self.name]
            state = "raised" if is_raised and not self.faults.keeps_lowered else "lowered"
            for text in basic["ipaddresses"]:
                address = ipaddress.ip_address(text)
                told[address.exploded if behaviour.expands_ipv6 else text] = state
        return told

    def metadata(self, collection: str, version: str) -> dict[str, Any]:
        """Return the description of a collection's fields."""
        sections = fields_at(collection, version)
        described = {
            section: {
                name: {"type": field["type"], "description": name} for name, field in f.items()
            }
            for section, f in sections.items()
        }
        return {"description": collection, "properties": described}

    def _script_errors(self, name: str, text: str) -> list[str]:
        try:
            named = pools_named(text)
        except ScriptError as err:
            return [f"rules {name}: {err}"]
        missing = (pool for pool in named if ("pools", pool) not in self.objects)
        return [f"rules {name}: pools '{pool}' does not exist" for pool in missing]

    def _check_place(self, place: Place) -> None:
        collection, name = place
        if not schema()[collection].get("creatable", True):
            raise Refused(HTTPStatus.FORBIDDEN, "resource.invalid", "invalid resource")
        check_name(name)
        if f"{collection}/{name}" in self.faults.refuse:
            refused = fault("num.out_of_range", "Value '-1' must be within 1-100")
            raise invalid({"basic": {"made_up": refused}})

    def _check_references(self, collection: str, content: Stored) -> None:
        for target, name in references(collection, content):
            if (target, name) not in self.objects:
                text = f"The supplied value '{target}/{name}' is not allowed."
                raise invalid({"basic": {target: fault("filename.forbiddenpath", text)}})

    def _written(
        self, method: str, place: Place, content: Stored | None, sections: tuple[str, ...]
    ) -> None:
        self._set(place, content)
        self._cluster.on_write(Write(method, *place, sections))
        arrives = asyncio.get_running_loop().time() + self._cluster.behaviour.replication_s
        for member in self._cluster.members:
            if member is not self:
                arrival = Arrival(arrives, self, place, copy.deepcopy(content))
                member._coming.append(arrival)  # noqa: SLF001  of its own kind

    def _set(self, place: Place, content: Stored | None) -> None:
        if content is None:
            self.objects.pop(place, None)
        else:
            self.objects[place] = content


class VtmCluster:
    """Members that share a configuration.

    Args:
        behaviour: of each.
        members: their names.
        seed: of what is arbitrary: the order of sets.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        members: Sequence[str] = ("tm-1", "tm-2"),
        seed: int = 7,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.random = Random(seed)  # noqa: S311  an order, no secret
        self.writes: list[Write] = []
        """Every write that was carried out, oldest first, unless `on_write` is another one."""
        self.on_write: Callable[[Write], None] = self.writes.append
        self.password = PASSWORD
        self.closing = asyncio.Event()
        self.members = [Member(name, self) for name in members]

    def wrote(self, collection: str) -> list[Write]:
        """Return the writes below one collection."""
        return [write for write in self.writes if write.collection == collection]
