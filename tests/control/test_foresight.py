"""What a data plane would refuse is known before there is one."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from onehop.cluster.gateway_verdict import GatewayClassVerdict
from onehop.control.config import Config
from onehop.control.configfile import parse_config
from onehop.control.foresight import foreseen
from onehop.control.once import compile_once
from onehop.model.ident import ObjectRef
from onehop.model.listener import ForwardUdp, StreamShare
from onehop.model.model import model_of
from onehop.model.pool import BackendProtocol, SourceIpPersistence
from onehop.model.problem import Problem, Reason, Severity
from tests.driver_envoy.world import SERVICE, pool, udp_listener

WEB: Final = ObjectRef("Ingress", "shop", "web")
DNS: Final = ObjectRef("Service", "shop", "dns")
OBJECTS: Final = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: onehop}
spec: {controller: onehop.dev/ingress}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations: {onehop.dev/rate-limit: 10/s, onehop.dev/rate-limit-burst: "5"}
spec:
  ingressClassName: onehop
  rules:
    - host: a.example
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: web, port: {number: 80}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: shop}
spec:
  type: LoadBalancer
  loadBalancerClass: onehop.dev/lb
  loadBalancerIP: 203.0.113.9
  ports: [{port: 53, protocol: UDP}]
"""
GATEWAY: Final = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: onehop}
spec: {controllerName: onehop.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: onehop, listeners: [{name: dns, port: 53, protocol: UDP}]}
"""
CONFIG: Final = """
cluster: {{manifests: {folder}/objects}}
state: {folder}/state
addresses: {{shared: [203.0.113.5], pools: [{{name: public, cidrs: [203.0.113.0/24]}}]}}
dataPlane: {{driver: {driver}, layer4: {layer4}}}
"""


def configured(folder: Path, driver: str, layer4: str = "proxy") -> Config:
    """Return a configuration of the objects above."""
    (folder / "objects").mkdir(exist_ok=True)
    (folder / "objects" / "shop.yaml").write_text(OBJECTS)
    text = CONFIG.format(folder=folder, driver=driver, layer4=layer4)
    return parse_config(text, name="config")


def refused(problems: tuple[Problem, ...]) -> set[tuple[ObjectRef, str, Severity]]:
    """Return who is told of the data plane, at which field, and how bad it is."""
    told = (each for each in problems if each.reason is Reason.DATA_PLANE_REFUSED)
    return {(each.subject, each.field, each.severity) for each in told}


BURST: Final = (
    WEB,
    "metadata.annotations[onehop.dev/rate-limit-burst]",
    Severity.WARNING,
)
UDP: Final = (DNS, "spec.ports", Severity.ERROR)


@pytest.mark.parametrize(
    ("driver", "layer4", "expected"),
    [
        ("envoy", "proxy", set()),
        ("haproxy", "proxy", {UDP}),
        ("haproxy", "kernel", set()),
        ("vtm", "proxy", {BURST}),
    ],
)
async def test_problems_of_the_configured_data_plane_are_told_by_one_look(
    tmp_path: Path, driver: str, layer4: str, expected: set[tuple[ObjectRef, str, Severity]]
) -> None:
    """Which is what render, plan and check take; no data plane runs."""
    compiled = await compile_once(configured(tmp_path, driver, layer4))

    assert refused(compiled.problems) == expected


@pytest.mark.parametrize(
    ("driver", "layer4", "is_refused"),
    [("envoy", "proxy", False), ("haproxy", "proxy", True), ("haproxy", "kernel", False)],
)
async def test_gateways_are_compiled_for_the_configured_data_plane(
    tmp_path: Path, driver: str, layer4: str, *, is_refused: bool
) -> None:
    """As the running program would: claims and refusals are its own."""
    config = configured(tmp_path, driver, layer4)
    (tmp_path / "objects" / "gateway.yaml").write_text(GATEWAY)
    compiled = await compile_once(config)

    (features,) = (v.features for v in compiled.verdicts if isinstance(v, GatewayClassVerdict))
    assert ("HTTPRouteRequestMirror" in features) is (driver == "envoy")
    told = {each.subject.kind for each in compiled.problems if "protocol UDP" in each.message}
    assert bool(told) is is_refused


@pytest.mark.parametrize(
    ("layer4", "severity"), [("proxy", Severity.ERROR), ("kernel", Severity.WARNING)]
)
def test_the_kernel_serves_udp_without_what_it_cannot_do(
    tmp_path: Path, layer4: str, severity: Severity
) -> None:
    """HAProxy alone would not serve it at all."""
    behind = pool("dns", protocol=BackendProtocol.UDP)
    handler = ForwardUdp(pool=behind.id, idle_timeout_s=600.0)
    entrance = msgspec.structs.replace(udp_listener(53, handler), owner=SERVICE)

    told = foreseen(model_of((behind, entrance)), configured(tmp_path, "haproxy", layer4))

    assert {(each.subject, each.severity) for each in told} == {(SERVICE, severity)}


def test_what_neither_the_proxy_nor_the_kernel_serves_is_told_why_by_both(tmp_path: Path) -> None:
    """Backends of one port that ask for different things, of UDP beside HAProxy."""
    one, two = (pool(name, protocol=BackendProtocol.UDP) for name in ("one", "two"))
    two = msgspec.structs.replace(two, persistence=SourceIpPersistence())
    handler = ForwardUdp(pool=one.id, shares=(StreamShare(one.id), StreamShare(two.id)))
    entrance = msgspec.structs.replace(udp_listener(53, handler), owner=SERVICE)
    model = model_of((one, two, entrance))

    def told(layer4: str) -> list[str]:
        every = foreseen(model, configured(tmp_path, "haproxy", layer4))
        return [each.message for each in every if f"listener {entrance.id}" in each.message]

    (message,) = told("kernel")
    assert message.endswith(
        "HAProxy does not pass on UDP; nor can the kernel serve it: the backends of a port differ"
        " in persistence: the kernel has one for all"
    )
    assert not any("nor can the kernel" in each for each in told("proxy"))
