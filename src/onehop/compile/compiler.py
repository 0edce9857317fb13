"""The compiler: takes in objects, keeps what follows from them up to date, and says what moved."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from onehop.cluster import (
    ClusterObject,
    ref_of,
)
from onehop.compile.allocation import (
    LEDGER,
    LEDGER_ADDRESSES,
)
from onehop.compile.answers import ANSWERS, CHALLENGE_CERTIFICATES, live_entries
from onehop.compile.certificate import CHECKED
from onehop.compile.demand import DEMANDS
from onehop.compile.endpoint import ENDPOINTS
from onehop.compile.gateway.gateway import GATEWAY_CAS, GATEWAY_SECRETS
from onehop.compile.gateway.route import ROUTE_CAS
from onehop.compile.gateway.verdict import GATEWAY_VERDICTS
from onehop.compile.ingress import SECRETS_WANTED
from onehop.compile.inputs import (
    ANSWERS_SECRET,
    AREAS,
    DEFAULT_CERTIFICATE,
    HELD,
    HELD_ADDRESSES,
    HOUR,
    KEPT,
    LACKS,
    ONLY,
    OPTIONS,
    RETURN_PATHS,
    STAPLES,
    Held,
)
from onehop.compile.network import is_other_network, network_of
from onehop.compile.options import Options
from onehop.compile.service import SERVICE_RETURN_PATHS
from onehop.compile.sheet import Reader, Settled, Sheet
from onehop.compile.tables import (
    ENDPOINT_LANE,
    INPUT_OF,
    INPUT_OF_KIND,
    OUTPUTS,
    TABLES,
    VERDICTS_OF,
    WAYS_LANE,
)
from onehop.compile.verdict import SERVICE_VERDICTS, Verdict
from onehop.compile.way import areas_of_pods, pods_in
from onehop.model.address import Cidr, IpAddr
from onehop.model.capability import Capability, Lack
from onehop.model.certificate import Certificate, CertificateDemand
from onehop.model.endpoint import Endpoint, each_once
from onehop.model.ident import ObjectRef
from onehop.model.model import Change, Model, Row, RowKey, model_of
from onehop.model.network import Network
from onehop.model.problem import Problem
from onehop.model.reach import Area
from onehop.model.staple import Inquiry, Staple

_Cell: TypeAlias = tuple[str, Any]


class Outcome(msgspec.Struct, frozen=True):
    """What became different since the last time.

    Attributes:
        change: rows of the Model.
        subjects: objects whose problems or verdict may be different now.
        wants_areas: whether `wanted_areas` are others now.
        network: whether `network` may return another one now.
        demands: whether `demands` returns others now.
        challenges: whether `challenges` may return others now.
    """

    change: Change = Change()
    subjects: frozenset[ObjectRef] = frozenset()
    wants_areas: bool = False
    network: bool = False
    demands: bool = False
    challenges: bool = False

    def then(self, later: "Outcome") -> "Outcome":
        """Return the one outcome of this and then `later`."""
        return Outcome(
            self.change.then(later.change),
            self.subjects | later.subjects,
            self.wants_areas or later.wants_areas,
            self.network or later.network,
            self.demands or later.demands,
            self.challenges or later.challenges,
        )


class Compiled(msgspec.Struct, frozen=True):
    """Everything at once: for a first look, for files and for tests."""

    model: Model
    problems: tuple[Problem, ...]
    verdicts: tuple[Verdict, ...]
    demands: tuple[CertificateDemand, ...] = ()


class Compiler:
    """Holds the objects and keeps what follows from them up to date."""

    def __init__(self, options: Options) -> None:
        self._sheet = Sheet(TABLES)
        self._sheet.put(OPTIONS, ONLY, options)
        self._told: dict[_Cell, tuple[Problem, ...]] = {}
        self._about: dict[ObjectRef, dict[_Cell, None]] = {}

    def set_options(self, options: Options) -> None:
        """Replace the operator's options."""
        self._sheet.put(OPTIONS, ONLY, options)

    def set_lacks(self, lacks: Mapping[Capability, Lack]) -> None:
        """Take in what the data plane lacks that serves from now on; before, it lacks nothing."""
        for capability in Capability:
            self._sheet.put(LACKS, capability, lacks.get(capability))

    def set_hour(self, seconds: int) -> None:
        """Tell the time, in seconds since the epoch; only its hour matters."""
        self._sheet.put(HOUR, ONLY, seconds - seconds % 3600)

    def put(self, item: ClusterObject) -> None:
        """Take in an object that is new or changed."""
        self._sheet.put(INPUT_OF[type(item)], ref_of(item), item)

    def remove(self, ref: ObjectRef) -> None:
        """Take in that an object is gone."""
        self._sheet.put(INPUT_OF_KIND[ref.kind], ref, None)

    def hold(self, held: Held) -> None:
        """Remember addresses a Service has had before this process began."""
        self._sheet.put(HELD, held.service, held)

    def keep(self, secret: ObjectRef, certificate: Certificate) -> None:
        """Remember a certificate a Secret has held before this process began."""
        self._sheet.put(KEPT, secret, certificate)

    def object(self, ref: ObjectRef) -> ClusterObject | None:
        """Return an object as it was put."""
        return self._sheet.value(INPUT_OF_KIND[ref.kind], ref)

    def refs(self, kind: str) -> tuple[ObjectRef, ...]:
        """Return the names of all objects of a kind, sorted."""
        return tuple(sorted(self._sheet.values(INPUT_OF_KIND[kind])))

    def reader(self) -> Reader:
        """Return a window on all tables as they were settled last; what it is asked has no effect.

        For whoever explains: by it, the very functions that cells are made of can be asked again.
        """
        return Reader(self._sheet, frozenset(table.name for table in TABLES))

    def wanted(self) -> frozenset[ObjectRef]:
        """Return the Secrets and ConfigMaps that something of ours refers to."""
        wanted = (
            SECRETS_WANTED,
            DEFAULT_CERTIFICATE,
            ANSWERS_SECRET,
            GATEWAY_SECRETS,
            GATEWAY_CAS,
            ROUTE_CAS,
        )
        return frozenset(ref for index in wanted for ref in self._sheet.entries(index))

    def put_area(self, area: Area) -> None:
        """Take in what the routing table says of a prefix."""
        self._sheet.put(AREAS, area.prefix, area)

    def drop_area(self, prefix: Cidr) -> None:
        """Forget what it said: nobody wants to know any more."""
        self._sheet.put(AREAS, prefix, None)

    def wanted_areas(self) -> frozenset[Cidr]:
        """Return the prefixes of which the ladder wants to know what the routing table says."""
        return frozenset(self._sheet.demand(AREAS))

    def set_return_path(self, clients: Cidr, *, works: bool | None) -> None:
        """Take in whether Pods answer a client network through this host; None is not known."""
        self._sheet.put(RETURN_PATHS, clients, works)

    def wanted_return_paths(self) -> frozenset[Cidr]:
        """Return the client networks of which a Service wants to know."""
        return frozenset(self._sheet.demand(RETURN_PATHS))

    def set_staple(self, inquiry: Inquiry, staple: Staple | None) -> None:
        """Take in what a CA says of a certificate; None forgets it."""
        self._sheet.put(STAPLES, inquiry, staple)

    def wanted_staples(self) -> frozenset[Inquiry]:
        """Return whom to ask about the certificates that are shown."""
        return frozenset(self._sheet.demand(STAPLES))

    def return_path_trials(self, clients: Cidr) -> tuple[Endpoint, ...]:
        """Return whom clients of this network would reach, to try its return path with; sorted."""
        intents = [intent for _, intent in self._sheet.found(SERVICE_RETURN_PATHS, clients)]
        pools = {port.wish.pool.id for intent in intents for port in intent.ports}
        members = (self._sheet.value(ENDPOINTS, pool) for pool in pools)
        return each_once(endpoint for each in members if each for endpoint in each.endpoints)

    def network(self) -> Network:
        """Return what this host's network shall do; its cost grows with the number of nodes."""
        return network_of(self._sheet)

    def challenges(self) -> frozenset[str]:
        """Return which entries of the Secret of answers are answered, by `challenge.entry_of`.

        As settled last: once the change of that settle is served, so are they.
        """
        return live_entries(self._sheet)

    def demands(self) -> tuple[CertificateDemand, ...]:
        """Return the certificates that are wanted of ACME issuers, sorted by Secret."""
        return tuple(demand for _, demand in sorted(self._sheet.values(DEMANDS).items()))

    def pods_in(self, areas: Collection[Cidr]) -> Mapping[Cidr, tuple[IpAddr, int]]:
        """Return the socket of a ready Pod in each of these areas, where there is one."""
        return pods_in(self._sheet, areas)

    def likely_areas(self) -> frozenset[Cidr]:
        """Return what `wanted_areas` may be after the next settle, and perhaps more.

        Its cost grows with the cluster; with the answers put beforehand, no pool is computed twice.
        """
        return areas_of_pods(self._sheet) | self.wanted_areas()

    def settle_ways(self) -> Outcome:
        """Bring up to date which areas are wanted for nodes, before any pool is computed."""
        return self._outcome(self._sheet.settle(WAYS_LANE))

    def settle_endpoints(self) -> Outcome:
        """Bring the members of pools up to date, and nothing else: the fast lane."""
        return self._outcome(self._sheet.settle(ENDPOINT_LANE))

    def settle(self) -> Outcome:
        """Bring everything up to date."""
        settled = self._sheet.settle()
        outcome = self._outcome(settled)
        if self._feed_back(settled):
            outcome = outcome.then(self._outcome(self._sheet.settle()))
        return outcome

    def problems(self) -> tuple[Problem, ...]:
        """Return every problem there is, once and sorted."""
        return tuple(sorted(set(self._sheet.problems())))

    def problems_of(self, subject: ObjectRef) -> tuple[Problem, ...]:
        """Return what is wrong with one object, once and sorted."""
        cells = self._about.get(subject, {})
        found = {problem for cell in cells for problem in self._told[cell]}
        return tuple(sorted(problem for problem in found if problem.subject == subject))

    def verdict(self, ref: ObjectRef) -> Verdict | None:
        """Return what shall be written back to an object, or None if it is not ours."""
        table = VERDICTS_OF.get(ref.kind)
        return self._sheet.value(table, ref) if table is not None else None

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return what shall be written back to all objects of ours."""
        tables = dict.fromkeys(VERDICTS_OF.values())
        return tuple(v for t in tables for _, v in sorted(self._sheet.values(t).items()))

    def held(self) -> tuple[Held, ...]:
        """Return all addresses given, for the memory that outlives this process."""
        return tuple(held for _, held in sorted(self._sheet.values(HELD).items()))

    def kept(self) -> Mapping[ObjectRef, Certificate]:
        """Return the last good certificate of each Secret in use, for the same memory."""
        return dict(sorted(self._sheet.values(KEPT).items()))

    def model(self) -> Model:
        """Return the whole Model; its cost grows with the cluster."""
        return model_of(
            output.row_of(value)
            for output in OUTPUTS.values()
            for value in self._sheet.values(output.table).values()
        )

    def _outcome(self, settled: Settled) -> Outcome:
        upserts: list[Row] = []
        removals: list[RowKey] = []
        subjects: set[ObjectRef] = set()
        for name, keys in settled.changed.items():
            output = OUTPUTS.get(name)
            if output is None:
                continue
            for key in keys:
                value = self._sheet.value(output.table, key)
                if value is None:
                    removals.append(RowKey(output.model_table, output.id_of(key)))
                else:
                    upserts.append(output.row_of(value))
        for table in VERDICTS_OF.values():
            subjects.update(settled.of(table))
        for cell in settled.problems:
            subjects.update(self._retell(cell))
        change = Change(tuple(upserts), tuple(removals))
        wants_areas = AREAS.name in settled.demands
        return Outcome(
            change,
            frozenset(subjects),
            wants_areas,
            is_other_network(settled),
            demands=bool(settled.of(DEMANDS)),
            challenges=bool(settled.of(ANSWERS) or settled.of(CHALLENGE_CERTIFICATES)),
        )

    def _retell(self, cell: _Cell) -> set[ObjectRef]:
        """Note a cell's problems by subject; return whom they were and are about."""
        before = {problem.subject for problem in self._told.pop(cell, ())}
        problems = self._sheet.problems_of(cell)
        after = {problem.subject for problem in problems}
        if problems:
            self._told[cell] = problems
        for subject in before - after:
            cells = self._about[subject]
            del cells[cell]
            if not cells:
                del self._about[subject]
        for subject in after:
            self._about.setdefault(subject, {})[cell] = None
        return before | after

    def _feed_back(self, settled: Settled) -> bool:
        """Remember what was given, so that the next decision disturbs it least."""
        for ref in settled.of(LEDGER):
            self._remember_addresses(ref)
        for ref in settled.of(SERVICE_VERDICTS) | settled.of(GATEWAY_VERDICTS):
            if self.verdict(ref) is None:
                self._sheet.put(HELD, ref, None)
        for ref in settled.of(CHECKED):
            checked = self._sheet.value(CHECKED, ref)
            if checked is None or checked.is_good:
                good = checked.certificate if checked else None
                self._sheet.put(KEPT, ref, good)
        return self._sheet.has_dirty()

    def _remember_addresses(self, ref: ObjectRef) -> None:
        """Hold what a Service has, else what it had and nobody else has now."""
        given, held = self._sheet.value(LEDGER, ref), self._sheet.value(HELD, ref)
        if given:
            self.hold(Held(ref, given))
            found = (self._sheet.found(HELD_ADDRESSES, address) for address in given)
            for other in {held for rows in found for _, held in rows}:
                self._forget_what_others_have(other)
        elif held is not None:
            self._forget_what_others_have(held)

    def _forget_what_others_have(self, held: Held) -> None:
        has = self._sheet.value(LEDGER, held.service) or ()
        left = (
            address
            for address in held.addresses
            if address in has or not any(self._sheet.found(LEDGER_ADDRESSES, address))
        )
        self.hold(Held(held.service, tuple(left)))


def compile_cluster(
    objects: Iterable[ClusterObject], options: Options, *, hour: int | None = None
) -> Compiled:
    """Compile from scratch.

    Args:
        objects: in any order; of two with the same name the later one counts.
        options: the operator's.
        hour: the time in seconds since the epoch, or None to leave expiry unjudged.
    """
    compiler = Compiler(options)
    if hour is not None:
        compiler.set_hour(hour)
    for item in objects:
        compiler.put(item)
    compiler.settle()
    return Compiled(compiler.model(), compiler.problems(), compiler.verdicts(), compiler.demands())
