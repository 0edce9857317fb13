"""What a real unit might do in one way or in another: the unknowns, as switches."""

from enum import StrEnum

import msgspec


class Fault(StrEnum):
    """What may happen to a call instead of its answer."""

    NONE = "none"
    """Its answer, after all."""
    HTML = "html"
    """503 with a page of HTML, as of a proxy in front of the unit."""
    SERVER_ERROR = "server-error"
    """500 with JSON."""
    CUT = "cut"
    """The connection is closed before the answer; the call is not carried out."""
    CUT_AFTER = "cut-after"
    """The call is carried out, its answer is not given."""
    HALF = "half"
    """Only the first of the written properties is taken, and 200 answered."""
    CUT_BODY = "cut-body"
    """The call is carried out, and the connection closed in the middle of its answer."""
    SLOW = "slow"
    """No answer for as long as the caller waits; the call is not carried out."""
    SLOW_AFTER = "slow-after"
    """The call is carried out, and no answer comes for as long as the caller waits."""
    DIES = "dies"
    """The member is down from here on."""
    DENIED = "denied"
    """401."""
    FORBIDDEN = "forbidden"
    """403 without `error_info`."""


class Faults(msgspec.Struct):
    """What will go wrong.

    Attributes:
        next: for so many calls from here on, each taken off the front; only of `methods`.
        refuse: objects that no PUT changes, as `pools/NAME`, answered 400.
        complaints: what the unit finds wrong besides what it does find.
        is_down: no connection is taken.
        keeps_lowered: this member raises no address, whatever it is told.
        keeps_raised: this member lowers none that it may have, whatever it is told.
    """

    next: list[Fault] = []
    methods: frozenset[str] = frozenset(("GET", "PUT", "DELETE"))
    refuse: set[str] = set()
    complaints: list[str] = []
    is_down: bool = False
    keeps_lowered: bool = False
    keeps_raised: bool = False


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """One possible unit.

    Attributes:
        versions: of REST, as `/api/tm` lists them.
        drops_default_columns: rows of tables come without columns that hold their default.
        shuffles_sets: lists without order come in another order each time.
        requires_doubtful: creating a server key without `note` and `request` is refused.
        tells_metadata: `?metadata` adds a description; otherwise it is passed over.
        echoes_writes: a PUT is answered with the whole object; otherwise with `{}`.
        refuses_used: deleting what another object names is refused.
        checks_rules: a rule that is not TrafficScript is refused; otherwise stored, with an error.
        takes_dangling: an object may name what is not there; otherwise it is refused.
        tells_error_info: a refused object is told field by field; otherwise as a whole.
        trims_texts: line ends at the end of a rule's text are not kept.
        expands_ipv6: nodes by IPv6 come back with all eight groups.
        counts_node_first: rows of a node's counters are called after the node, and then the pool.
        raises_at_last: the last machine of a traffic IP group has its address, not the first.
        largest_body: of a request, in bytes; a larger one is answered 413 in HTML.
        loses_unreplicated: what a member that dies has not passed on yet is lost.
        replication_s: until a write is seen at the other members.
        call_s: what each call takes.
    """

    versions: tuple[str, ...] = ("6.0", "7.0", "8.3")
    drops_default_columns: bool = True
    shuffles_sets: bool = True
    requires_doubtful: bool = True
    tells_metadata: bool = True
    echoes_writes: bool = True
    refuses_used: bool = True
    checks_rules: bool = True
    takes_dangling: bool = True
    tells_error_info: bool = True
    trims_texts: bool = False
    expands_ipv6: bool = False
    counts_node_first: bool = False
    raises_at_last: bool = False
    largest_body: int = 20_000_000
    loses_unreplicated: bool = True
    replication_s: float = 0.0
    call_s: float = 0.0


ONE_WAY = Behaviour()
THE_OTHER_WAY = Behaviour(
    versions=("3.10", "6.0", "6.1", "9.0"),
    drops_default_columns=False,
    shuffles_sets=False,
    requires_doubtful=False,
    tells_metadata=False,
    echoes_writes=False,
    refuses_used=False,
    checks_rules=False,
    takes_dangling=False,
    tells_error_info=False,
    trims_texts=True,
    expands_ipv6=True,
    counts_node_first=True,
    raises_at_last=True,
    largest_body=200_000,
    loses_unreplicated=False,
)
"""Every switch in its other position."""
