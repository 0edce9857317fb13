"""Whose the TLS of a host is: it is passed through, or it ends here, and not both.

It belongs to the oldest Ingress that has a say in it, by a rule with passthrough or by `spec.tls`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from onehop.compile.ingress import CLAIMS_BY_HOST, INGRESS_INTENTS, TLS_BY_HOST, IngressIntent
from onehop.compile.inputs import ONLY
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.listener import Passthrough
from onehop.model.problem import Problem, Reason


def _compute(reader: Reader, hostname: str) -> Cell[Passthrough]:
    concerned = {
        intent.ref: intent
        for index in (PASSED_BY_HOST, TLS_BY_HOST, CLAIMS_BY_HOST)
        for intent in reader.unordered(index, hostname)
        if _has_a_say(intent, hostname)
    }
    owner, *others = sorted(concerned.values(), key=lambda intent: intent.age_key)
    passed = _passed(owner, hostname)
    problems = tuple(_told(owner, others, hostname))
    if passed is None or not hostname.startswith("*."):
        return Cell(passed, problems)
    return Cell(msgspec.structs.replace(passed, exceptions=_exceptions(reader, hostname)), problems)


def _has_a_say(intent: IngressIntent, hostname: str) -> bool:
    """Tell whether an Ingress says what becomes of a host's TLS."""
    return (
        _passed(intent, hostname) is not None
        or any(claim.hostname == hostname for claim in intent.tls)
        or any(claim.hostname == hostname and claim.secure for claim in intent.claims)
    )


def _passed(intent: IngressIntent, hostname: str) -> Passthrough | None:
    return next((each for each in intent.passthroughs if each.hostname == hostname), None)


def _told(
    owner: IngressIntent, others: Iterable[IngressIntent], hostname: str
) -> Iterator[Problem]:
    """Yield what those are told whose idea of a host's TLS does not count."""
    passed = _passed(owner, hostname)
    for other in others:
        asked = _passed(other, hostname)
        if (asked is None) is (passed is None):
            if asked is None or msgspec.structs.replace(asked, owner=owner.ref) == passed:
                continue  # two that end it: whose certificate is shown is told with certificates
            what = "which passes it through to another backend; this one gets no connections"
        elif passed is None:
            what = "and ends here; this one passes nothing through"
        else:
            what = "which passes it through; nothing of this one is served by HTTPS there"
        yield Problem(
            subject=other.ref,
            field="metadata.annotations[onehop.dev/tls-passthrough]" if asked else _field(other),
            reason=Reason.CONFLICT,
            message=f"the TLS of {hostname} belongs to the older {owner.ref}, {what}",
        )


def _field(intent: IngressIntent) -> str:
    return "spec.tls" if intent.tls else "spec.rules"


def _exceptions(reader: Reader, wildcard: str) -> tuple[str, ...]:
    """Return the names under a wildcard that others end: data planes would take them in."""
    suffix = wildcard[1:]
    intents = reader.unordered(ENDED_UNDER, wildcard[2:])
    names = {name for intent in intents for name in _ended(intent) if name.endswith(suffix)}
    return tuple(sorted(names - {wildcard}))


def _ended(intent: IngressIntent) -> Iterator[str]:
    """Yield the names whose TLS an Ingress ends."""
    yield from (claim.hostname for claim in intent.tls)
    if not intent.passthroughs:
        yield from (claim.hostname for claim in intent.claims if claim.secure)


def _parents(_ref: ObjectRef, intent: IngressIntent) -> set[str]:
    found: set[str] = set()
    for name in _ended(intent):
        labels = name.split(".")
        found.update(".".join(labels[number:]) for number in range(1, len(labels)))
    return found


PASSED_BY_HOST: Final = Index[ObjectRef, IngressIntent, str](
    INGRESS_INTENTS,
    "passed-host",
    lambda _, intent: {each.hostname for each in intent.passthroughs},
)
ENDED_UNDER: Final = Index[ObjectRef, IngressIntent, str](INGRESS_INTENTS, "ended-under", _parents)
PASSTHROUGHS: Final = Derived[str, Passthrough]("passthroughs", _compute, (PASSED_BY_HOST,))
ALL_PASSTHROUGHS: Final = Index[str, Passthrough, tuple[()]](
    PASSTHROUGHS, "all", lambda _, _passthrough: (ONLY,)
)
