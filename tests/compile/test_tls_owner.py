"""The TLS of a host is passed through or ends here, whatever Ingresses ask for."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.cluster import Ingress
from onehop.compile.clientcert import MISDIRECTED
from onehop.compile.compiler import compile_cluster
from onehop.compile.options import Options
from onehop.driver.envoy.secrets import StaticChain
from onehop.driver.envoy.tlschain import tls_chains
from onehop.model.address import IpAddr
from onehop.model.listener import ForwardHttp
from onehop.model.model import Model
from tests.compile import anything

_RIVALS = st.lists(anything.INGRESSES | anything.PASSED, max_size=5)


def _compiled(ingresses: list[Ingress]) -> tuple[Model, ForwardHttp]:
    items = (*anything.WORLD, *ingresses)
    model = compile_cluster(items, Options(shared=(IpAddr("192.0.2.80"),))).model
    handlers = [item.handler for item in model.listeners if item.port == 443]
    assert isinstance(handlers[0], ForwardHttp)
    return model, handlers[0]


@settings(max_examples=200, deadline=None)
@given(_RIVALS)
def test_no_name_has_two_ways_through_a_listener(ingresses: list[Ingress]) -> None:
    """Envoy would refuse the listener that all share, for the sake of two."""
    model, handler = _compiled(ingresses)
    listed = tuple(
        StaticChain((name.hostname,), name.certificate)
        if name.hostname != "*"
        else StaticChain((), name.certificate)
        for name in model.server_names
    )
    for static in ((), listed):
        chains = tls_chains(handler, static, None)
        taken = Counter(name for chain in chains for name in chain.server_names or ("*",))

        assert not {name for name, count in taken.items() if count > 1}


@settings(max_examples=200, deadline=None)
@given(_RIVALS)
def test_a_host_is_passed_through_or_ends_here(ingresses: list[Ingress]) -> None:
    """What is passed through has no certificate here, no check, and no requests by HTTPS."""
    model, handler = _compiled(ingresses)
    passed = {each.hostname for each in handler.passthroughs}
    ended = {name.hostname for name in model.server_names}
    ended |= {check.hostname for check in handler.client_checks}

    assert not passed & ended
    for each in handler.passthroughs:
        assert not {handler.passthrough_for(name) for name in each.exceptions} & {each}
        under = {name for name in ended if name.endswith(each.hostname[1:])}
        assert not each.hostname.startswith("*.") or under <= set(each.exceptions)
    for host in model.hosts:
        if host.router == handler.router and host.hostname in passed:
            assert host.routes[0].action == MISDIRECTED
