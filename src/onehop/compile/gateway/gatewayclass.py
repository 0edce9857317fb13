"""GatewayClasses: which are ours, and what they may say that we can do."""

from typing import Final

from onehop.cluster import GatewayClass
from onehop.cluster.gateway_verdict import GatewayClassVerdict, Saying, Truth
from onehop.compile.backend import options_of
from onehop.compile.gateway.bundle import supported_version
from onehop.compile.gateway.feature import claimed
from onehop.compile.inputs import GATEWAY_CLASSES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason


def is_served(reader: Reader, name: str) -> bool:
    """Tell whether Gateways of a class are ours, and nothing is wrong with the class."""
    found = reader.get(GATEWAY_CLASSES, ObjectRef("GatewayClass", "", name))
    return found is not None and _is_ours(reader, found) and found.spec.parameters_ref is None


def _is_ours(reader: Reader, found: GatewayClass) -> bool:
    return found.spec.controller_name == options_of(reader).gateway_controller


def _verdict(reader: Reader, ref: ObjectRef) -> Cell[GatewayClassVerdict]:
    """Accept a class of ours (`apis/v1/gatewayclass_types.go`, conditions).

    "InvalidParameters: ... parametersRef field references a nonexistent or unsupported resource":
    none is supported, for what could stand in it is the operator's, in onehop.yaml.
    """
    found = reader.need(GATEWAY_CLASSES, ref)
    if not _is_ours(reader, found):
        return Cell(None)
    version = filter(None, (supported_version(reader),))
    if found.spec.parameters_ref is not None:
        message = "parametersRef is not supported; what it could say stands in onehop.yaml"
        problem = Problem(
            subject=ref, field="spec.parametersRef", reason=Reason.UNSUPPORTED, message=message
        )
        saying = Saying("Accepted", Truth.FALSE, "InvalidParameters", message)
        return Cell(GatewayClassVerdict(ref=ref, sayings=(saying, *version)), (problem,))
    saying = Saying("Accepted", Truth.TRUE, "Accepted", "Gateways of this class are served")
    features = claimed(reader)
    return Cell(GatewayClassVerdict(ref=ref, sayings=(saying, *version), features=features))


_REFS: Final = Index[ObjectRef, GatewayClass, ObjectRef](
    GATEWAY_CLASSES, "ref", lambda ref, _: (ref,)
)
GATEWAY_CLASS_VERDICTS: Final = Derived[ObjectRef, GatewayClassVerdict](
    "gateway-class-verdicts", _verdict, (_REFS,)
)
