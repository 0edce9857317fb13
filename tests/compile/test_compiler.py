"""The compiler's memory: what it keeps from one settling to the next, and whom it tells."""

from collections.abc import Mapping

import pytest

from onehop.cluster import ClusterObject, EndpointSlice, Ingress, IngressClass, Secret, Service
from onehop.cluster.ingress import (
    HttpPath,
    HttpRule,
    IngressBackend,
    IngressClassSpec,
    IngressRule,
    IngressSpec,
    IngressTls,
    ServiceBackend,
    ServiceBackendPort,
)
from onehop.cluster.meta import Meta
from onehop.cluster.service import ServicePort, ServiceSpec
from onehop.cluster.slice import SERVICE_NAME, SliceEndpoint, SliceMeta, SlicePort
from onehop.compile.compiler import Compiler, Outcome, compile_cluster
from onehop.compile.inputs import Held
from onehop.compile.options import AddressPool, Options
from onehop.compile.service import FINALIZER
from onehop.compile.verdict import ServiceRelease, ServiceVerdict
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.model import RowKey, Table
from onehop.model.problem import Reason
from tests.compile.pem import END, chain_pem, key_pem

FIRST, SECOND = IpAddr("203.0.113.10"), IpAddr("203.0.113.11")
POOL = AddressPool(name="public", ranges=((FIRST, SECOND),))
OPTIONS = Options(address_pools=(POOL,), shared=(IpAddr("192.0.2.80"),))

WEB = ObjectRef("Service", "shop", "web")
INGRESS = ObjectRef("Ingress", "shop", "web")
SECRET = ObjectRef("Secret", "shop", "tls")
CLASS = IngressClass(metadata=Meta(name="onehop"), spec=IngressClassSpec("onehop.dev/ingress"))


def service(
    name: str = "web",
    *,
    wants: str | None = None,
    created: str = "",
    port: int = 80,
    says: Mapping[str, str] | None = None,
) -> Service:
    return Service(
        metadata=Meta(
            name=name,
            namespace="shop",
            creation_timestamp=created,
            annotations=says,
            finalizers=(FINALIZER,),
        ),
        spec=ServiceSpec(
            type="LoadBalancer",
            load_balancer_class="onehop.dev/lb",
            load_balancer_ip=wants,
            ports=(ServicePort(port=port),),
        ),
    )


def ingress(name: str = "web", host: str = "x.test", *, tls: str | None = "tls") -> Ingress:
    backend = IngressBackend(service=ServiceBackend("web", ServiceBackendPort(number=80)))
    return Ingress(
        metadata=Meta(name=name, namespace="shop"),
        spec=IngressSpec(
            ingress_class_name="onehop",
            rules=(IngressRule(host, HttpRule((HttpPath(backend=backend, path="/"),))),),
            tls=(IngressTls((host,), tls),) if tls else None,
        ),
    )


def secret(chain: bytes, key: bytes) -> Secret:
    metadata = Meta(name="tls", namespace="shop")
    data = {"tls.crt": chain, "tls.key": key}
    return Secret(metadata=metadata, type="kubernetes.io/tls", data=data)


GOOD = secret(chain_pem("x.test"), key_pem("x.test"))
BAD = secret(b"junk", b"junk")


def endpoint_slice(*addresses: str) -> EndpointSlice:
    return EndpointSlice(
        metadata=SliceMeta(name="web-1", namespace="shop", labels={SERVICE_NAME: "web"}),
        endpoints=tuple(SliceEndpoint(addresses=(address,)) for address in addresses),
        ports=(SlicePort(port=8080),),
    )


def settled(*objects: ClusterObject, options: Options = OPTIONS) -> Compiler:
    compiler = Compiler(options)
    for item in objects:
        compiler.put(item)
    compiler.settle()
    return compiler


def addresses(compiler: Compiler, name: str = "web") -> tuple[str | None, ...]:
    verdict = compiler.verdict(ObjectRef("Service", "shop", name))
    assert isinstance(verdict, ServiceVerdict)
    return tuple(entry.ip for entry in verdict.status.ingress or ())


# Addresses


def test_an_older_service_that_comes_later_takes_no_address_away() -> None:
    """Age decides between claims, not over what was given."""
    compiler = settled(service("young", created="2024-01-02T00:00:00Z"))
    compiler.put(service("old", created="2024-01-01T00:00:00Z"))
    compiler.settle()

    assert addresses(compiler, "young") == (FIRST,)
    assert addresses(compiler, "old") == (SECOND,)
    assert {held.service.name: held.addresses for held in compiler.held()} == {
        "old": (SECOND,),
        "young": (FIRST,),
    }


def test_an_address_given_on_is_its_former_owners_no_more() -> None:
    """Who asked for another address, and was refused, does not get the old one back by force."""
    compiler = settled(service("old", created="2024-01-01T00:00:00Z"))
    compiler.put(service("old", created="2024-01-01T00:00:00Z", wants="192.0.2.1"))
    compiler.settle()
    assert addresses(compiler, "old") == ()
    assert [held.addresses for held in compiler.held()] == [(FIRST,)]

    compiler.put(service("new", wants=FIRST))
    compiler.settle()
    compiler.put(service("old", created="2024-01-01T00:00:00Z"))
    compiler.settle()

    assert addresses(compiler, "new") == (FIRST,)
    assert addresses(compiler, "old") == (SECOND,)


def test_a_shared_address_is_not_remembered_by_who_left_it() -> None:
    """It is in use by the others, so nobody may come back for it with a better right."""
    share = {"onehop.dev/share-address": "one"}
    compiler = settled(
        service("stays", port=80, says=share), service("leaves", port=81, says=share)
    )
    assert addresses(compiler, "stays") == addresses(compiler, "leaves") == (FIRST,)

    compiler.put(service("leaves", port=81, wants="192.0.2.1"))
    compiler.settle()

    assert {held.service.name: held.addresses for held in compiler.held()} == {
        "leaves": (),
        "stays": (FIRST,),
    }


def test_an_address_outlives_a_pool_that_was_gone_for_a_while() -> None:
    """An operator's slip in `addresses.pools` is forgiven, if nobody else has the address."""
    compiler = settled(service("a"), service("b"))
    before = addresses(compiler, "a"), addresses(compiler, "b")
    compiler.set_options(Options())
    compiler.settle()
    assert addresses(compiler, "a") == ()

    compiler.remove(ObjectRef("Service", "shop", "z"))
    compiler.set_options(OPTIONS)
    compiler.settle()

    assert (addresses(compiler, "a"), addresses(compiler, "b")) == before


def test_a_deleted_service_is_released_and_then_forgotten() -> None:
    """Its address is free again; what waits for its finalizer is a release."""
    compiler = settled(service())
    gone = service()
    metadata = Meta(
        name="web", namespace="shop", finalizers=(FINALIZER,), deletion_timestamp="2024-01-01"
    )
    compiler.put(Service(metadata=metadata, spec=gone.spec))
    outcome = compiler.settle()

    assert compiler.verdict(WEB) == ServiceRelease(WEB, clears_status=False)
    assert WEB in outcome.subjects
    assert RowKey(Table.VIP, FIRST) in outcome.change.removals

    compiler.remove(WEB)
    compiler.settle()
    assert compiler.verdict(WEB) is None
    assert compiler.verdicts() == ()
    assert compiler.held() == ()


def test_a_status_write_reaches_no_other_service() -> None:
    """What we write ourselves comes back as an event, and changes nothing."""
    compiler = settled(service("a"), service("b"))
    again = service("a")
    metadata = Meta(name="a", namespace="shop", resource_version="2", finalizers=(FINALIZER,))
    compiler.put(Service(metadata=metadata, spec=again.spec))

    assert compiler.settle() == Outcome()


# Certificates


def test_the_last_good_certificate_stays_while_a_secret_is_bad() -> None:
    """A renewal that went wrong does not take HTTPS away; its owner is told."""
    compiler = settled(CLASS, service(), ingress(), GOOD)
    good = compiler.model().certificates
    assert compiler.kept() == {SECRET: good[0]}

    compiler.put(BAD)
    outcome = compiler.settle()

    assert compiler.model().certificates == good
    assert INGRESS in outcome.subjects
    (problem,) = compiler.problems_of(INGRESS)
    assert problem.reason is Reason.CERTIFICATE_INVALID
    assert "the last good one is still shown" in problem.message

    compiler.put(GOOD)
    compiler.settle()
    assert compiler.problems_of(INGRESS) == ()


def test_a_certificate_is_kept_over_a_restart_but_not_beyond_its_use() -> None:
    """`keep` brings it back; when no Ingress names the Secret any more, it is forgotten."""
    kept = settled(CLASS, service(), ingress(), GOOD).kept()
    compiler = Compiler(OPTIONS)
    compiler.keep(SECRET, kept[SECRET])
    for item in (CLASS, service(), ingress(), BAD):
        compiler.put(item)
    compiler.settle()
    assert [item.fingerprint for item in compiler.model().certificates] == [
        kept[SECRET].fingerprint
    ]

    compiler.remove(INGRESS)
    compiler.settle()
    assert compiler.kept() == {}
    assert compiler.model().certificates == ()


def test_a_certificate_expires_when_its_hour_has_come() -> None:
    """It is shown all the same, with a warning, and time alone brings that about."""
    compiler = settled(CLASS, service(), ingress(), GOOD)
    assert compiler.problems() == ()

    compiler.set_hour(int(END.timestamp()) + 60)
    compiler.settle()

    (problem,) = compiler.problems_of(INGRESS)
    assert problem.reason is Reason.CERTIFICATE_EXPIRED
    assert len(compiler.model().server_names) == 1


def test_two_ingresses_may_name_one_secret_for_a_host() -> None:
    """They say the same, so nobody loses anything."""
    compiler = settled(CLASS, service(), ingress("one"), ingress("two"), GOOD)

    assert [p.reason for p in compiler.problems()] == [Reason.CONFLICT]  # of the path, not of TLS
    assert "path" in compiler.problems()[0].field


def test_a_certificate_without_alternative_names_fits_no_host() -> None:
    """Clients look at subjectAltName only (RFC 9525, section 6.1)."""
    nameless = secret(chain_pem("x.test", names=()), key_pem("x.test"))
    compiler = settled(CLASS, service(), ingress(), nameless)

    (problem,) = compiler.problems()
    assert "not valid for x.test" in problem.message


def test_secrets_are_wanted_as_long_as_something_names_them() -> None:
    """No other Secret is ever read (design rule 5)."""
    compiler = settled(CLASS, service(), ingress())
    assert compiler.wanted() == {SECRET}

    compiler.put(ingress(tls=None))
    compiler.settle()
    assert compiler.wanted() == frozenset()


def test_the_operators_default_certificate_is_wanted_without_any_ingress() -> None:
    """Clients may ask for a name nobody has before there is any."""
    compiler = Compiler(Options(shared=(IpAddr("192.0.2.80"),), default_certificate=SECRET))
    compiler.put(GOOD)
    compiler.settle()

    assert compiler.wanted() == {SECRET}
    assert [name.hostname for name in compiler.model().server_names] == ["*"]
    assert compiler.problems() == ()


def test_hosts_that_cannot_be_are_left_out_of_tls_too() -> None:
    """A bad host beside good ones harms only itself."""
    compiler = settled(CLASS, service(), ingress(host="Not_A_Host"), GOOD)

    assert compiler.model().server_names == ()
    assert {p.field for p in compiler.problems()} == {"spec.tls[0].hosts", "spec.rules[0].host"}


def test_one_fault_mended_leaves_the_others_told() -> None:
    """Faults of one object come from several cells, and go one by one."""
    compiler = settled(CLASS, service(), ingress("a"), ingress("b"))
    loser = ObjectRef("Ingress", "shop", "b")
    winner = ObjectRef("Ingress", "shop", "a")
    assert [p.reason for p in compiler.problems_of(winner)] == [Reason.CERTIFICATE_NOT_FOUND]

    compiler.put(ingress("b", host="Not_A_Host"))
    compiler.put(ingress("b"))
    compiler.put(ingress("b", tls="Odd"))
    compiler.settle()
    reasons = {p.reason for p in compiler.problems_of(loser)}
    assert reasons == {Reason.CONFLICT, Reason.CERTIFICATE_NOT_FOUND}

    compiler.remove(winner)
    outcome = compiler.settle()
    assert [p.reason for p in compiler.problems_of(loser)] == [Reason.CERTIFICATE_NOT_FOUND]
    assert loser in outcome.subjects


# The two lanes


def test_the_endpoint_lane_changes_endpoints_and_nothing_else() -> None:
    """Other work waits for `settle`, and is not lost."""
    compiler = settled(CLASS, service(), ingress(), GOOD, endpoint_slice("10.0.0.1"))
    compiler.put(endpoint_slice("10.0.0.1", "127.0.0.1"))
    compiler.put(endpoint_slice("10.0.0.2", "127.0.0.1"))
    compiler.put(ingress(host="y.test"))

    outcome = compiler.settle_endpoints()

    assert {type(row).__name__ for row in outcome.change.upserts} == {"PoolEndpoints"}
    assert outcome.subjects == {ObjectRef("EndpointSlice", "shop", "web-1")}
    rest = compiler.settle()
    assert RowKey(Table.HOST, "shared-http/x.test") in rest.change.removals


def test_a_service_that_goes_empties_its_pools_before_they_go() -> None:
    """The fast lane may see a Service gone while the pool of it still stands."""
    compiler = settled(CLASS, service(), ingress(tls=None), endpoint_slice("10.0.0.1"))
    compiler.remove(WEB)
    outcome = compiler.settle_endpoints()
    assert RowKey(Table.ENDPOINTS, PoolId("shop/web:80")) in outcome.change.removals

    outcome = compiler.settle()
    assert RowKey(Table.POOL, PoolId("shop/web:80")) in outcome.change.removals
    (problem,) = compiler.problems_of(INGRESS)
    assert problem.reason is Reason.BACKEND_NOT_FOUND


def test_a_change_of_the_shared_vip_moves_its_listeners() -> None:
    """The operator's options are an input like any other."""
    compiler = settled(CLASS)
    outcome = compiler.settle()
    assert not outcome.change

    compiler.set_options(Options(shared=(IpAddr("192.0.2.81"),)))
    outcome = compiler.settle()
    assert [key.id for key in outcome.change.removals if key.table is Table.VIP] == ["192.0.2.80"]


def test_an_ingress_that_is_being_deleted_is_served_no_more() -> None:
    """Deletion counts from the moment it is asked for."""
    metadata = Meta(name="web", namespace="shop", deletion_timestamp="2024-01-01T00:00:00Z")
    compiler = settled(CLASS, service(), Ingress(metadata=metadata, spec=ingress().spec))

    assert compiler.model().hosts == ()
    assert compiler.verdict(INGRESS) is None


def test_objects_can_be_looked_up_as_they_were_put() -> None:
    """Who writes back needs the object at hand."""
    compiler = settled(service())

    assert compiler.object(WEB) == service()
    assert compiler.object(INGRESS) is None


def test_a_held_address_of_a_service_that_is_not_there_waits_for_it() -> None:
    """A memory from before the process began is no Service of ours."""
    compiler = Compiler(OPTIONS)
    compiler.hold(Held(WEB, (SECOND,)))
    compiler.settle()
    assert compiler.verdicts() == ()

    compiler.put(service())
    compiler.settle()
    assert addresses(compiler) == (SECOND,)


@pytest.mark.parametrize("hour", [None, int(END.timestamp())])
def test_compiling_at_once_gives_the_same(hour: int | None) -> None:
    """`compile_cluster` is a Compiler told everything and settled once."""
    objects = (CLASS, service(), ingress(), GOOD, endpoint_slice("10.0.0.1"))
    compiler = settled(*objects)
    if hour is not None:
        compiler.set_hour(hour)
        compiler.settle()

    compiled = compile_cluster(objects, OPTIONS, hour=hour)

    assert compiled.model == compiler.model()
    assert compiled.problems == compiler.problems()
    assert compiled.verdicts == compiler.verdicts()
