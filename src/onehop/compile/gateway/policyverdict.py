"""What shall be said in the status of BackendTLSPolicies, for each Gateway that they count for.

"Policies MUST define status for a single Gateway" (GEP-713, `PolicyAncestorStatus`): an entry for
each of our Gateways one of whose routes sends requests to a Service that the policy is for.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from onehop.cluster import BackendTLSPolicy
from onehop.cluster.gateway_ref import ParentRef
from onehop.cluster.gateway_verdict import ParentsVerdict, ParentVerdict, Saying, Truth
from onehop.compile.backend import options_of
from onehop.compile.gateway.attachment import ATTACHMENTS
from onehop.compile.gateway.backendtls import POLICIES_BY_TARGET, VERIFICATIONS, sections_of
from onehop.compile.gateway.route import ROUTE_RULES, Rules
from onehop.compile.inputs import BACKEND_TLS_POLICIES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason

_Ancestry: TypeAlias = tuple[tuple[ObjectRef, ObjectRef], ...]
"""Policies, each with a Gateway."""

_REASONS: Final = {"Conflicted": Reason.CONFLICT, "Invalid": Reason.INVALID_OBJECT}


def _ancestry(reader: Reader, ref: ObjectRef) -> Cell[_Ancestry]:
    """Return which policies a route makes count for which Gateways."""
    attachments, rules = reader.need(ATTACHMENTS, ref), reader.need(ROUTE_RULES, ref)
    gateways = {each.gateway for each in attachments.parents if each.listeners}
    pairs = {(policy, gateway) for policy in rules.policies for gateway in gateways}
    return Cell(tuple(sorted(pairs)) or None)


def _verdict(reader: Reader, ref: ObjectRef) -> Cell[ParentsVerdict]:
    controller = options_of(reader).gateway_controller
    policy = reader.need(BACKEND_TLS_POLICIES, ref)
    pairs = {pair for pairs in reader.unordered(_BY_POLICY, ref) for pair in pairs}
    gateways = sorted(gateway for each, gateway in pairs if each == ref)
    if not gateways:
        is_stale = any(each.controller_name == controller for each in policy.status.ancestors)
        return Cell(ParentsVerdict(ref=ref, controller=controller) if is_stale else None)
    verification = reader.need(VERIFICATIONS, ref)
    sayings = (_conflict(reader, ref, policy) or verification.accepted, verification.resolved)
    ancestors = tuple(
        ParentVerdict(
            parent=ParentRef(name=gateway.name, namespace=gateway.namespace), sayings=sayings
        )
        for gateway in gateways
    )
    verdict = ParentsVerdict(ref=ref, controller=controller, parents=ancestors)
    return Cell(verdict, tuple(_problems(ref, sayings)))


def _conflict(reader: Reader, ref: ObjectRef, policy: BackendTLSPolicy) -> Saying | None:
    """Say that older policies are for all that this one is for, or nothing.

    "For any BackendTLSPolicy that does not take precedence, the implementation MUST ensure the
    `Accepted` Condition is set to `status: False`, with Reason `Conflicted`."
    """
    winners: set[str] = set()
    for target in policy.spec.target_refs:
        service = ObjectRef("Service", ref.namespace, target.name)
        section = target.section_name or ""
        rivals = [
            each
            for each in reader.unordered(POLICIES_BY_TARGET, service)
            if section in sections_of(each, service)
        ]
        oldest = min(rivals, key=lambda each: each.metadata.age_key, default=policy)
        if oldest.metadata.name == ref.name:
            return None
        winners.add(oldest.metadata.name)
    message = f"the older {', '.join(sorted(winners))} is for the same; this policy changes nothing"
    return Saying("Accepted", Truth.FALSE, "Conflicted", message)


def _problems(ref: ObjectRef, sayings: tuple[Saying, ...]) -> Iterator[Problem]:
    for saying in sayings:
        if saying.status is Truth.FALSE:
            yield Problem(
                subject=ref,
                field="spec",
                reason=_REASONS.get(saying.reason, Reason.CERTIFICATE_INVALID),
                message=f"{saying.type}, {saying.reason}: {saying.message}",
            )


def _policed(ref: ObjectRef, rules: Rules) -> tuple[ObjectRef, ...]:
    return (ref,) if rules.policies else ()


_POLICED: Final = Index[ObjectRef, Rules, ObjectRef](ROUTE_RULES, "policed", _policed)
ANCESTRIES: Final = Derived[ObjectRef, _Ancestry]("policy-ancestries", _ancestry, (_POLICED,))
_BY_POLICY: Final = Index[ObjectRef, _Ancestry, ObjectRef](
    ANCESTRIES, "policy", lambda _, pairs: {policy for policy, _ in pairs}
)
_SAID: Final = Index[ObjectRef, BackendTLSPolicy, ObjectRef](
    BACKEND_TLS_POLICIES, "said", lambda ref, policy: (ref,) if policy.status.ancestors else ()
)
POLICY_VERDICTS: Final = Derived[ObjectRef, ParentsVerdict](
    "policy-verdicts", _verdict, (_BY_POLICY, _SAID)
)
