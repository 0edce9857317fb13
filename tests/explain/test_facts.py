"""What an explanation says of VIPs, proofs and sources, as far as the program tells."""

import msgspec
import pytest

from onehop.control.config import AddressesConfig, BgpConfig, BindConfig, Config, ReachConfig
from onehop.control.explain.explanation import Explanation, VipStanding
from onehop.control.explain.facts import Facts
from onehop.control.explain.journey import explain
from onehop.control.explain.source import address_towards
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason
from tests.explain.known import as_tree, facts_of_story

VIP = IpAddr("203.0.113.10")
WEB = ObjectRef("Service", "shop", "web")
BOUND_HERE = Config(addresses=AddressesConfig(bind=BindConfig(interface="eth0")))


def _explained(facts: Facts, target: str = "shop/web") -> Explanation:
    answer = explain(facts, target)
    assert isinstance(answer, Explanation)
    return answer


def _mixed(**changes: object) -> Facts:
    return msgspec.structs.replace(facts_of_story("ladder-direct-where-proven"), **changes)


def test_a_vip_is_bound_here_and_told_to_routers() -> None:
    """The interface, and the neighbours that hear of it."""
    answer = _explained(
        _mixed(config=BOUND_HERE, is_bound=lambda _: True, announced_to={VIP: ("tor1", "tor2")})
    )
    vip = answer.roads[0].vip

    assert vip.standing is VipStanding.BOUND
    assert vip.announced_to == ("tor1", "tor2")
    assert "bound on eth0" in vip.says
    assert "announced by BGP to tor1, tor2" in as_tree(answer)


def test_a_vip_that_is_not_bound_says_why() -> None:
    """The Problem of the binding stands at the address, and there is advice."""
    said = f"{VIP} is answered for by 02:00:00:00:00:09"
    problem = Problem(subject=WEB, reason=Reason.ADDRESS_IN_USE, message=said)
    answer = _explained(_mixed(config=BOUND_HERE, problems=(problem,)))

    assert answer.roads[0].vip.standing is VipStanding.NOT_BOUND
    assert said in answer.roads[0].vip.says
    assert answer.advice[0].code == "vip-not-bound"
    assert problem in answer.problems


def test_where_nothing_runs_nothing_is_bound() -> None:
    """It says what would be."""
    answer = _explained(_mixed(config=BOUND_HERE, is_live=False))

    assert answer.roads[0].vip.standing is VipStanding.UNKNOWN
    assert "nothing runs here" in as_tree(answer)


def test_proofs_have_an_age_and_pods_see_an_address() -> None:
    """As the routing table and the kernel tell."""
    answer = _explained(
        _mixed(age_of=lambda _area, _address: 754.321, address_towards=lambda _: "192.168.0.99")
    )
    pool = answer.pools[0]

    assert pool.pods[0].way.age_s == 754.3
    assert pool.members[0].source.address == "192.168.0.99"
    assert pool.members[0].nats[0].source == "192.168.0.99"
    assert "for 13 min" in as_tree(answer)
    assert "sees this host's address 192.168.0.99" in as_tree(answer)


@pytest.mark.parametrize(
    ("config", "codes"),
    [
        (Config(), {"peer-by-bgp", "static-routes", "trust"}),
        (Config(bgp=BgpConfig(asn=64512)), {"bgp-session"}),
        (Config(reach=ReachConfig(routes="static")), {"trust"}),
    ],
)
def test_advice_for_a_missing_route_fits_what_is_configured(
    config: Config, codes: set[str]
) -> None:
    """Who speaks BGP looks at the session; who does not, begins to, or has other ways."""
    answer = _explained(_mixed(config=config))

    always = {"wrong-next-hop", "traffic-policy-local"}
    assert {advice.code for advice in answer.advice} == codes | always


def test_the_kernel_names_the_source_without_a_packet() -> None:
    """Loopback answers for itself."""
    assert address_towards(IpAddr("127.0.0.1")) == "127.0.0.1"


@pytest.mark.parametrize(
    ("story", "target", "why"),
    [
        ("ingress-hosts", "service/shop/web:81", "has no port 81; it has 80"),
        ("ingress-classes", "ingress/shop/theirs", "whose controller is not ours"),
        ("ingress-without-vip", "ingress/shop/a", "no addresses.shared"),
        (
            "finalizer-before-service-and-release-after",
            "service/shop/new",
            "waits for its finalizer",
        ),
        ("service-class-decides-whose-it-is", "service/shop/theirs", "ours is onehop.dev/lb"),
        ("service-class-decides-whose-it-is", "shop/inside", "is of type ClusterIP"),
    ],
)
def test_what_is_not_served_says_why(story: str, target: str, why: str) -> None:
    """In the words of who could change it."""
    answer = explain(facts_of_story(story), target)

    assert isinstance(answer, Explanation), answer
    assert answer.unserved
    assert why in answer.unserved
