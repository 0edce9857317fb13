"""Lease: who may write. Kubernetes `pkg/apis/coordination/validation/validation.go`."""

from collections.abc import Iterator

from onehop.lab.api.check import part
from onehop.lab.api.printing import AGE, NAME
from onehop.lab.api.refusal import FieldFault, Json, invalid
from onehop.lab.api.resource import Column, NoRules, Resource, World


class LeaseRules(NoRules):
    """Checks of a Lease."""

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:  # noqa: ARG002  the protocol has them
        """Yield what the API would refuse."""
        spec = part(obj, "spec")
        duration = spec.get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            yield invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
        transitions = spec.get("leaseTransitions")
        if transitions is not None and transitions < 0:
            field = "spec.leaseTransitions"
            yield invalid(field, transitions, "must be greater than or equal to 0")


LEASE = Resource(
    group="coordination.k8s.io",
    version="v1",
    plural="leases",
    singular="lease",
    kind="Lease",
    unconditional_update=False,
    empty=b'{"spec":{}}',
    columns=(
        NAME,
        Column("Holder", lambda obj, _: part(obj, "spec").get("holderIdentity", "")),
        AGE,
    ),
    rules=LeaseRules(),
)
