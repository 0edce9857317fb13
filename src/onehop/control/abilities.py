"""What the data planes can do, side by side; and what to tell somebody who asked for too much."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from onehop.control.config import DataPlaneConfig
from onehop.driver import Capability
from onehop.driver.capability import OF_UDP, Extent, Shortcomings
from onehop.driver.envoy.support import SHORTCOMINGS as ENVOY
from onehop.driver.haproxy.support import SHORTCOMINGS as HAPROXY
from onehop.driver.nftables.support import SHORTCOMINGS as KERNEL
from onehop.driver.vtm.support import SHORTCOMINGS as VTM
from onehop.model.capability import Lack
from onehop.model.ident import ObjectRef

DATA_PLANES: Final[Mapping[str, Shortcomings]] = {"envoy": ENVOY, "haproxy": HAPROXY, "vtm": VTM}
"""By the value of `dataPlane.driver`."""

IN_KERNEL: Final[Shortcomings] = KERNEL
"""With `dataPlane.layer4: kernel`, beside one of them."""

_ANNOTATIONS: Final[Mapping[Capability, str]] = {
    Capability.CONNECTION_LIMIT: "connection-limit",
    Capability.POOL_CONNECTION_LIMIT: "connection-limit",
    Capability.STREAM_IDLE_TIMEOUT: "idle-timeout",
    Capability.IDLE_TIMEOUT: "idle-timeout",
    Capability.PROXY_PROTOCOL_IN: "accept-proxy-protocol",
    Capability.TRANSPARENT: "client-address",
    Capability.CLIENT_CERTIFICATES: "client-ca",
    Capability.OPTIONAL_CLIENT_CERTIFICATES: "client-ca",
    Capability.TLS_PASSTHROUGH: "tls-passthrough",
    Capability.REWRITE_PREFIX: "rewrite-path",
    Capability.RATE_LIMIT: "rate-limit",
    Capability.RATE_LIMIT_BURST: "rate-limit-burst",
    Capability.BODY_LIMIT: "body-limit",
    Capability.REQUEST_TIMEOUT: "request-timeout",
    Capability.RETRIES: "retries",
    Capability.RETRY_CODES: "retry-on",
    Capability.RETRY_TIMEOUT: "retry-timeout",
    Capability.ROUND_ROBIN: "balancing",
    Capability.HASH: "balancing",
    Capability.COOKIE_PERSISTENCE: "persistence",
    Capability.COOKIE_NAME: "persistence-cookie",
    Capability.HTTP_PERSISTENCE_HEADER: "persistence",
    Capability.HEALTH_CHECK_TCP: "health-check",
    Capability.HEALTH_CHECK_HTTP: "health-check",
    Capability.HEALTH_CHECK_PORT: "health-check-port",
    Capability.HEALTH_CHECK_UDP: "health-check",
    Capability.HEALTH_CHECK_RECOVERY: "health-check-healthy-threshold",
    Capability.CONNECT_TIMEOUT: "connect-timeout",
    Capability.HTTP2_BACKENDS: "backend-protocol",
}
"""Where there is one way only to ask for it."""

_ONLY_OF_INGRESSES: Final[Mapping[Capability, str]] = {
    Capability.PROXY_PROTOCOL_OUT: "proxy-protocol",
    Capability.SOURCE_PERSISTENCE_TIMEOUT: "persistence-timeout",
    Capability.BACKEND_TLS_CA: "backend-tls-ca",
    Capability.BACKEND_TLS_NAME: "backend-tls-name",
}
"""A Service has another way as well: `client-address`, `spec.sessionAffinityConfig`, a policy of
Gateway API."""

_BY_ANNOTATION_ALONE: Final = frozenset(
    (
        Capability.RATE_LIMIT,
        Capability.RATE_LIMIT_BURST,
        Capability.BODY_LIMIT,
        Capability.IDLE_TIMEOUT,
    )
)
"""What routes of Gateway API have no field for."""


def name_of(data_plane: DataPlaneConfig) -> str:
    """Return what a data plane is called that is made of a configuration, as by its driver."""
    has_kernel = data_plane.layer4 == "kernel" and data_plane.driver != "vtm"
    return data_plane.driver + ("+nftables" if has_kernel else "")


def shortcomings_of(driver: str) -> Shortcomings:
    """Return what a data plane cannot do, by the name of its driver.

    Of two that share the work (`envoy+nftables`), the proxy's: what the kernel lacks is no
    shortcoming where a proxy stands beside it. With a proxy that has no UDP, of that the kernel's.
    """
    proxy, _, kernel = driver.partition("+")
    lacks = DATA_PLANES.get(proxy, {})
    if not kernel or _can(lacks, Capability.UDP):
        return lacks
    of_kernel = {each: IN_KERNEL[each] for each in OF_UDP & IN_KERNEL.keys()}
    return {each: lacks[each] for each in lacks if each not in OF_UDP} | of_kernel


def lacks_of(driver: str) -> Mapping[Capability, Lack]:
    """Return what a data plane lacks of what Gateway API may ask for, by the name of its driver."""
    return {
        each: Lack(f"{support.words}; {advice_on(each)}", is_whole=support.extent is Extent.NO)
        for each, support in shortcomings_of(driver).items()
        if not support.suffices
    }


def field_of(capability: Capability, subject: ObjectRef) -> str:
    """Return the field by which an object asks for something; empty for one of several."""
    if subject.kind == "Service" and capability is Capability.UDP:
        return "spec.ports"
    is_route = subject.kind in {"HTTPRoute", "GRPCRoute"}
    if is_route and capability not in _BY_ANNOTATION_ALONE:
        return ""
    if not is_route and subject.kind not in {"Ingress", "Service"}:
        return ""
    annotation = _ANNOTATIONS.get(capability)
    if subject.kind == "Ingress":
        annotation = annotation or _ONLY_OF_INGRESSES.get(capability)
    return f"metadata.annotations[onehop.dev/{annotation}]" if annotation else ""


@cache
def advice_on(capability: Capability) -> str:
    """Return what somebody can do whose data plane cannot do something."""
    able = [name for name, lacks in DATA_PLANES.items() if _can(lacks, capability)]
    ways = [f"dataPlane.driver {' or '.join(able)}"] if able else []
    if _can(IN_KERNEL, capability):
        ways.append("for TCP and UDP dataPlane.layer4 kernel")
    return f"leave it out, or use {', or '.join(ways)}" if ways else "leave it out"


def _can(lacks: Shortcomings, capability: Capability) -> bool:
    return capability not in lacks or lacks[capability].extent is not Extent.NO
