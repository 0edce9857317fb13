"""Conditions of Gateway API's objects, by the rules of the specification.

Of the types that a controller says, ours are set, and one that we have nothing to say of any more
goes. All other types are somebody else's (`example.com/PolicyAffected`, GEP-713) and stay as they
are: conformance test GatewayPreserveForeignConditions.
"""

from collections.abc import Iterable
from typing import Final

from onehop.cluster.gateway_verdict import Saying
from onehop.cluster.service import Condition
from onehop.status.condition import LONGEST_MESSAGE

_OURS: Final = frozenset(
    {
        "Accepted",
        "Conflicted",
        "InsecureFrontendValidationMode",
        "OverlappingTLSConfig",
        "PartiallyInvalid",
        "Programmed",
        "ResolvedRefs",
        "SupportedVersion",
    }
)
MOST_CONDITIONS: Final = 8
"""`+kubebuilder:validation:MaxItems=8` on every list of conditions of Gateway API."""


def conditions_of(
    sayings: Iterable[Saying], live: tuple[Condition, ...], *, generation: int, now: str
) -> tuple[Condition, ...]:
    """Return the conditions as they shall be, in the order in which they are there already.

    Args:
        sayings: ours, at most one of a type.
        live: the conditions as they are.
        generation: of the object that they speak of.
        now: RFC 3339; becomes `lastTransitionTime` of those whose status is another one now.
    """
    left = {saying.type: saying for saying in sayings}
    kept: list[Condition] = []
    for condition in live:
        if is_foreign(condition):
            kept.append(condition)
        elif saying := left.pop(condition.type, None):
            kept.append(_stated(saying, condition, generation, now))
    kept.extend(_stated(saying, None, generation, now) for saying in left.values())
    ours = [each for each in kept if not is_foreign(each)]
    room = MOST_CONDITIONS - len(ours)
    foreign = [each for each in kept if is_foreign(each)][:room]
    return tuple(each for each in kept if not is_foreign(each) or each in foreign)


def is_foreign(condition: Condition) -> bool:
    """Tell whether a condition is of a type that we never say."""
    return condition.type not in _OURS


def _stated(saying: Saying, live: Condition | None, generation: int, now: str) -> Condition:
    is_same = live is not None and live.status == saying.status and live.last_transition_time
    return Condition(
        type=saying.type,
        status=saying.status.value,
        reason=saying.reason,
        message=saying.message[:LONGEST_MESSAGE],
        observed_generation=generation,
        last_transition_time=live.last_transition_time if live and is_same else now,
    )
