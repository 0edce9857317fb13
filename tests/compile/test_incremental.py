"""The licence to be incremental: whatever happens in whatever order, the result is from scratch."""

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
from onehop.model.ident import ObjectRef
from onehop.model.model import Model, with_change
from onehop.model.problem import Problem
from tests.compile import anything


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

    @initialize(
        options=anything.OPTIONS,
        item=anything.CLASSES,
        held=anything.HELD,
        kept=st.none() | anything.SECRET_REFS,
    )
    def begin(
        self, options: Options, item: ClusterObject, held: list[Held], kept: ObjectRef | None
    ) -> None:
        """There are options, an IngressClass, and maybe the memory of an earlier process."""
        self.change_options(options)
        self.put(item)
        for one in held:
            self.compiler.hold(one)
        if kept is not None:
            self.compiler.keep(kept, anything.certificate_of(kept))

    @rule(target=refs, items=st.lists(anything.OBJECTS, min_size=1, max_size=4))
    def put_some(self, items: list[ClusterObject]) -> object:
        """Objects appear or are replaced."""
        return multiple(*(self.put(item) for item in items))

    def put(self, item: ClusterObject) -> ObjectRef:
        self.compiler.put(item)
        self.objects[ref_of(item)] = item
        self.known.add(ref_of(item))
        return ref_of(item)

    @rule(ref=consumes(refs))
    def remove(self, ref: ObjectRef) -> None:
        """An object goes, or is said to be gone once more."""
        self.compiler.remove(ref)
        self.objects.pop(ref, None)

    @rule(options=anything.OPTIONS)
    def change_options(self, options: Options) -> None:
        """The operator changes the configuration."""
        self.compiler.set_options(options)
        self.options = options

    @rule(hour=anything.HOURS)
    def pass_time(self, hour: int) -> None:
        """An hour strikes."""
        self.compiler.set_hour(hour)
        self.hour = hour

    @rule()
    def settle_endpoints(self) -> None:
        """The fast lane runs while other work waits."""
        self.take_in(self.compiler.settle_endpoints())

    @rule()
    def settle(self) -> None:
        """Everything is brought up to date."""
        self.take_in(self.compiler.settle())
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

    def compare_with_scratch(self) -> None:
        """Compile the same inputs anew, the memory of what was given and shown included."""
        scratch = Compiler(self.options)
        if self.hour is not None:
            scratch.set_hour(self.hour)
        for held in self.compiler.held():
            scratch.hold(held)
        for ref, certificate in self.compiler.kept().items():
            scratch.keep(ref, certificate)
        for item in self.objects.values():
            scratch.put(item)
        scratch.settle()

        assert self.compiler.model() == scratch.model()
        assert self.compiler.problems() == scratch.problems()
        assert self.compiler.verdicts() == scratch.verdicts()
        assert self.compiler.held() == scratch.held()
        assert self.compiler.kept() == scratch.kept()
        assert self.compiler.wanted_secrets() == scratch.wanted_secrets()


TestIncrementalIsFromScratch = IncrementalIsFromScratch.TestCase
TestIncrementalIsFromScratch.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)
