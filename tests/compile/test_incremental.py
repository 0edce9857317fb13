"""The licence to be incremental: whatever happens in whatever order, the result is from scratch."""

from typing import Final, Literal, TypeAlias

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from onehop.cluster import ClusterObject, ref_of
from onehop.compile.compiler import Compiler, Outcome
from onehop.compile.inputs import Held
from onehop.compile.options import Options
from onehop.compile.verdict import Verdict
from onehop.model.address import Cidr
from onehop.model.certificate import CertificateDemand
from onehop.model.ident import ObjectRef
from onehop.model.model import Model, with_change
from onehop.model.network import Network
from onehop.model.problem import Problem
from onehop.model.reach import ProbeResult, RouteKind
from onehop.model.staple import Inquiry, Staple
from tests.compile import anything, anything_gateway
from tests.model.anything import dangling, socket
from tests.routing import PaperRoute, PaperTable, answer, settle

Lane: TypeAlias = Literal["all", "endpoints", "later"]
LANES: Final[st.SearchStrategy[Lane]] = st.sampled_from(("all", "all", "endpoints", "later"))

# The nodes of `anything` are there, and so are their Pods.
ROUTES: Final = st.builds(
    PaperRoute,
    to=st.sampled_from(("10.0.0.0/24", "10.0.0.1/32", "10.0.0.0/16", "0.0.0.0/0", "fd00::/64")),
    via=st.lists(
        st.sampled_from(("192.168.0.1", "192.168.0.2", "10.9.9.9")), max_size=2, unique=True
    ).map(tuple),
    kind=st.sampled_from((RouteKind.UNICAST, RouteKind.UNICAST, *RouteKind)),
    steady=st.booleans(),
)
TABLES: Final = st.builds(
    PaperTable,
    routes=st.lists(ROUTES, max_size=4, unique_by=lambda route: route.to).map(tuple),
    probes=st.dictionaries(
        st.sampled_from(("10.0.0.0/24", "10.0.1.0/24")), st.sampled_from(ProbeResult), max_size=2
    ),
)


class IncrementalIsFromScratch(RuleBasedStateMachine):
    """Does at random what a cluster may do, and compares with a compiler that begins anew."""

    refs = Bundle("refs")

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[ObjectRef, ClusterObject] = {}
        self.options = Options()
        self.hour: int | None = None
        self.compiler = Compiler(self.options)
        self.model = Model()
        self.problems: tuple[Problem, ...] = ()
        self.verdicts: dict[ObjectRef, Verdict] = {}
        self.known: set[ObjectRef] = set()
        self.table = PaperTable()
        self.areas: set[Cidr] = set()
        self.network = Network()
        self.challenges: frozenset[str] = frozenset()
        self.demands: tuple[CertificateDemand, ...] = ()
        self.returns: dict[Cidr, bool | None] = {}
        self.staples: dict[Inquiry, Staple | None] = {}

    @initialize(
        target=refs,
        options=anything.OPTIONS,
        world=st.booleans(),
        held=anything.HELD,
        kept=st.none() | anything.SECRET_REFS,
    )
    def begin(
        self, options: Options, held: list[Held], kept: ObjectRef | None, *, world: bool
    ) -> object:
        """There are options, mostly a cluster, and maybe the memory of an earlier process."""
        self.change_options(options)
        for one in held:
            self.compiler.hold(one)
        if kept is not None:
            self.compiler.keep(kept, anything.certificate_of(kept))
        small = (*anything.WORLD, *anything_gateway.WORLD)
        return multiple(*(self.put(item) for item in (small if world else ())))

    @rule(target=refs, item=anything.OBJECTS, lane=LANES)
    def put_anything(self, item: ClusterObject, lane: Lane) -> ObjectRef:
        """An object appears or is replaced."""
        return self.put(item, lane)

    @rule(target=refs, item=anything.SERVICES, lane=LANES)
    def put_service(self, item: ClusterObject, lane: Lane) -> ObjectRef:
        """Services change class, type, ports, addresses, finalizers and status."""
        return self.put(item, lane)

    @rule(target=refs, item=anything.SLICES, lane=LANES)
    def put_slice(self, item: ClusterObject, lane: Lane) -> ObjectRef:
        """Slices empty, overlap, drain, move to another Service."""
        return self.put(item, lane)

    @rule(target=refs, item=anything.INGRESSES, lane=LANES)
    def put_ingress(self, item: ClusterObject, lane: Lane) -> ObjectRef:
        """Ingresses fight for hosts, paths, certificates and what is left over."""
        return self.put(item, lane)

    @rule(target=refs, item=anything.ANSWERS | anything.SOLVERS, lane=LANES)
    def put_answer(self, item: ClusterObject, lane: Lane) -> ObjectRef:
        """A CA looks, by our leave or by cert-manager's."""
        return self.put(item, lane)

    @rule(target=refs, item=anything_gateway.OBJECTS, lane=LANES)
    def put_gateway(self, item: ClusterObject, lane: Lane) -> ObjectRef:
        """Gateways, routes and grants come, fight, attach and let go."""
        return self.put(item, lane)

    def put(self, item: ClusterObject, lane: Lane = "later") -> ObjectRef:
        self.compiler.put(item)
        self.objects[ref_of(item)] = item
        self.known.add(ref_of(item))
        self.settle_in(lane)
        return ref_of(item)

    @rule(ref=consumes(refs), lane=LANES)
    def remove(self, ref: ObjectRef, lane: Lane) -> None:
        """An object goes, or is said to be gone once more."""
        self.compiler.remove(ref)
        self.objects.pop(ref, None)
        self.settle_in(lane)

    def settle_in(self, lane: Lane) -> None:
        """Settle now, only the endpoints now, or later."""
        if lane == "all":
            self.settle()
        elif lane == "endpoints":
            self.take_in(self.compiler.settle_endpoints())
            answer(self.compiler, self.table, self.areas)

    @rule(options=anything.OPTIONS)
    def change_options(self, options: Options) -> None:
        """The operator changes the configuration."""
        self.compiler.set_options(options)
        self.options = options

    @rule(table=TABLES, lane=LANES)
    def change_routes(self, table: PaperTable, lane: Lane) -> None:
        """Routes come and go, lead astray, or have not stood for long."""
        self.table = table
        answer(self.compiler, table, self.areas)
        self.settle_in(lane)

    @rule(
        clients=st.sampled_from(anything.CLIENT_NETWORKS),
        works=st.sampled_from((True, False, None)),
    )
    def try_return_path(self, clients: Cidr, *, works: bool | None) -> None:
        """It is found out, or forgotten, whether Pods answer clients through this host."""
        self.returns[clients] = works
        self.compiler.set_return_path(clients, works=works)

    @rule(inquiry=st.sampled_from(anything.INQUIRIES), staple=anything.STAPLES)
    def hear_of_a_certificate(self, inquiry: Inquiry, staple: Staple | None) -> None:
        """A CA says something of a certificate of its own, or it is forgotten."""
        self.staples[inquiry] = staple
        self.compiler.set_staple(inquiry, staple)

    @rule(hour=anything.HOURS)
    def pass_time(self, hour: int) -> None:
        """An hour strikes."""
        self.compiler.set_hour(hour)
        self.hour = hour

    @rule()
    def settle(self) -> None:
        """Everything is brought up to date."""
        self.take_in(self.compiler.settle())
        answer(self.compiler, self.table, self.areas)
        self.take_in(self.compiler.settle())
        answer(self.compiler, self.table, self.areas)
        self.compare_with_scratch()
        assert self.compiler.settle() == Outcome()

    @invariant()
    def problems_are_found_by_subject(self) -> None:
        """What `problems_of` says of each object is what `problems` says of all."""
        by_subject = {
            subject: self.compiler.problems_of(subject)
            for subject in {*self.known, *(p.subject for p in self.compiler.problems())}
        }
        told = [problem for problems in by_subject.values() for problem in problems]
        assert sorted(told) == sorted(self.problems)

    def teardown(self) -> None:
        """Every history ends up to date."""
        self.settle()

    def take_in(self, outcome: Outcome) -> None:
        """Check that an Outcome says all that is different, and remember what is now."""
        problems = self.compiler.problems()
        verdicts = {verdict.ref: verdict for verdict in self.compiler.verdicts()}
        complained = {p.subject for p in {*self.problems} ^ {*problems}}
        decided = {ref for ref, _ in self.verdicts.items() ^ verdicts.items()}
        assert complained | decided <= outcome.subjects
        self.problems, self.verdicts = problems, verdicts
        self.model = with_change(self.model, outcome.change)
        assert self.model == self.compiler.model()
        if outcome.network:
            self.network = self.compiler.network()
        assert self.network == self.compiler.network()
        if outcome.challenges:
            self.challenges = self.compiler.challenges()
        assert self.challenges == self.compiler.challenges()
        assert outcome.demands == (self.demands != self.compiler.demands())
        self.demands = self.compiler.demands()

    def compare_with_scratch(self) -> None:
        """Compile the same inputs anew, the memory of what was given and shown included."""
        scratch = Compiler(self.options)
        if self.hour is not None:
            scratch.set_hour(self.hour)
        for held in self.compiler.held():
            scratch.hold(held)
        for ref, certificate in self.compiler.kept().items():
            scratch.keep(ref, certificate)
        for clients, works in self.returns.items():
            scratch.set_return_path(clients, works=works)
        for inquiry, staple in self.staples.items():
            scratch.set_staple(inquiry, staple)
        for item in self.objects.values():
            scratch.put(item)
        settle(scratch, self.table)

        assert self.model == scratch.model()
        assert not dangling(self.model)
        assert len(self.model.listeners) == len(set(map(socket, self.model.listeners)))
        assert [pool.id for pool in self.model.pools] == [e.pool for e in self.model.endpoints]
        assert self.compiler.problems() == scratch.problems()
        assert self.compiler.verdicts() == scratch.verdicts()
        assert self.compiler.held() == scratch.held()
        assert self.compiler.kept() == scratch.kept()
        assert self.compiler.wanted() == scratch.wanted()
        assert self.compiler.wanted_areas() == scratch.wanted_areas()
        assert self.compiler.wanted_areas() <= self.compiler.likely_areas()
        assert self.compiler.wanted_staples() == scratch.wanted_staples()
        assert self.network == scratch.network()
        assert self.demands == scratch.demands()
        assert self.challenges == scratch.challenges()
        wanted = self.compiler.wanted_return_paths()
        assert wanted == scratch.wanted_return_paths()
        for clients in wanted:
            trials = self.compiler.return_path_trials(clients)
            assert trials == scratch.return_path_trials(clients)


TestIncrementalIsFromScratch = IncrementalIsFromScratch.TestCase
TestIncrementalIsFromScratch.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)
