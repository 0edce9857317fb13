"""What is written to an Ingress and to objects that are not ours but have problems."""

import msgspec

from onehop.cluster import Secret
from onehop.cluster.meta import Meta
from onehop.cluster.service import LoadBalancerStatus
from onehop.model.ident import ObjectRef
from onehop.model.problem import Reason
from onehop.status import EmitEvent, PatchStatus, Report, decide
from onehop.status.write import EventType
from tests.status.objects import SHOP, VIP, ingress, ingress_report, moment, problem

FOREIGN = ingress_report("198.51.100.66")


def shown(report: Report) -> LoadBalancerStatus:
    """Return the status an Ingress has once a report is written."""
    (patch,) = decide(report, ingress(), now=moment())
    assert isinstance(patch, PatchStatus)
    assert patch.load_balancer is not None
    return patch.load_balancer


def test_an_ingress_gets_the_shared_address_and_nothing_else() -> None:
    """It has no conditions, and is not worth an event of its own."""
    wanted = shown(ingress_report(VIP))

    assert decide(ingress_report(VIP), ingress(), now=moment()) == (
        PatchStatus(ref=SHOP, load_balancer=wanted),
    )
    assert decide(ingress_report(VIP), ingress(wanted), now=moment()) == ()


def test_an_ingress_shows_nothing_until_its_hosts_are_acknowledged() -> None:
    """Silent non-application is the worst fault: an address is a promise."""
    pending = msgspec.structs.replace(ingress_report(VIP), is_acknowledged=False)

    assert decide(pending, ingress(), now=moment()) == ()


def test_an_ingress_keeps_its_address_while_a_change_is_under_way() -> None:
    """An edit must not take the address away for a moment."""
    pending = msgspec.structs.replace(ingress_report(VIP), is_acknowledged=False)

    assert decide(pending, ingress(shown(ingress_report(VIP))), now=moment()) == ()


def test_a_foreign_address_of_an_ingress_is_undone() -> None:
    """`status.loadBalancer` of an Ingress of our class is ours."""
    decided = decide(ingress_report(VIP), ingress(shown(FOREIGN)), now=moment())

    assert decided == (PatchStatus(ref=SHOP, load_balancer=shown(ingress_report(VIP))),)


def test_an_ingress_that_is_served_nowhere_shows_no_address() -> None:
    """onehop.yaml without a shared address."""
    decided = decide(ingress_report(), ingress(shown(FOREIGN)), now=moment())

    assert decided == (PatchStatus(ref=SHOP, load_balancer=LoadBalancerStatus()),)


def test_a_problem_of_a_secret_is_told_to_the_secret() -> None:
    """An object without a verdict gets events and no write."""
    ref = ObjectRef("Secret", "shop", "tls")
    found = problem(Reason.CERTIFICATE_EXPIRED, "expired yesterday", subject=ref)
    secret = Secret(metadata=Meta(name="tls", namespace="shop", uid="u9"))

    decided = decide(Report(uid="u9", problems=(found,)), secret, now=moment())

    assert decided == (
        EmitEvent(
            ref=ref,
            uid="u9",
            reason="CertificateExpired",
            type=EventType.WARNING,
            message="spec: expired yesterday",
            is_standing=True,
        ),
    )
