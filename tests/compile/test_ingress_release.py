"""An Ingress that is no longer ours loses our address from its status."""

from onehop.cluster import Ingress, IngressClass
from onehop.cluster.ingress import IngressClassSpec, IngressSpec, IngressStatus
from onehop.cluster.meta import Meta
from onehop.cluster.service import IngressAddress, LoadBalancerStatus
from onehop.compile.compiler import compile_cluster
from onehop.compile.options import Options
from onehop.compile.verdict import IngressVerdict, Verdict
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef

SHARED = IpAddr("192.0.2.1")
REF = ObjectRef("Ingress", "shop", "web")


def verdict(*, controller: str, status: str | None) -> tuple[Verdict, ...]:
    entries = (IngressAddress(ip=status),) if status else None
    objects = (
        IngressClass(metadata=Meta(name="c"), spec=IngressClassSpec(controller=controller)),
        Ingress(
            metadata=Meta(name="web", namespace="shop"),
            spec=IngressSpec(ingress_class_name="c"),
            status=IngressStatus(LoadBalancerStatus(entries)),
        ),
    )
    return compile_cluster(objects, Options(shared=(SHARED,))).verdicts


def test_our_address_goes_with_the_class() -> None:
    """Another controller's Ingress must not send its users to us."""
    assert verdict(controller="example.com/other", status=SHARED) == (
        IngressVerdict(REF, LoadBalancerStatus()),
    )


def test_the_address_of_another_controller_is_none_of_our_business() -> None:
    """No status fights."""
    assert verdict(controller="example.com/other", status="198.51.100.7") == ()


def test_an_ingress_of_others_without_an_address_has_no_verdict() -> None:
    """Ten thousand of them cost next to nothing."""
    assert verdict(controller="example.com/other", status=None) == ()


def test_our_own_ingress_keeps_its_address() -> None:
    """As long as the class is ours."""
    (kept,) = verdict(controller="onehop.dev/ingress", status=SHARED)

    assert kept == IngressVerdict(REF, LoadBalancerStatus((IngressAddress(ip=SHARED),)))
