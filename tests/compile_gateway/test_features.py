"""What a GatewayClass says that we can do."""

import msgspec

from onehop.cluster.gateway_verdict import GatewayClassVerdict
from onehop.compile.compiler import Compiler
from onehop.compile.gateway.gatewayclass import FEATURES, MODEST_FEATURES
from onehop.model.ident import ObjectRef
from tests.compile_gateway.world import OPTIONS, compiled

CLASS = ObjectRef("GatewayClass", "", "onehop")


def claimed(compiler: Compiler) -> tuple[str, ...]:
    verdict = compiler.verdict(CLASS)
    assert isinstance(verdict, GatewayClassVerdict)
    return verdict.features


def test_features_are_claimed_by_what_the_data_plane_can() -> None:
    """A feature that is claimed is one that works: HAProxy and vTM have no header matches."""
    modest = msgspec.structs.replace(OPTIONS, serves_all_of_routes=False)

    assert claimed(compiled()) == FEATURES
    assert claimed(compiled(options=modest)) == MODEST_FEATURES


def test_features_stand_in_order_and_once() -> None:
    """GatewayClassStatus.SupportedFeatures: "in ascending alphabetical order"."""
    assert list(FEATURES) == sorted(set(FEATURES))
    assert list(MODEST_FEATURES) == sorted(set(MODEST_FEATURES))
    assert set(MODEST_FEATURES) < set(FEATURES)
