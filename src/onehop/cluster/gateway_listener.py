"""Listeners, as Gateways and ListenerSets hold them (`Listener`, `ListenerEntry`)."""

from collections.abc import Mapping

import msgspec

from onehop.cluster.gateway_ref import SecretRef
from onehop.cluster.gateway_selector import LabelSelector
from onehop.cluster.gateway_status import RouteKind
from onehop.cluster.meta import NOTHING


class RouteNamespaces(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """From which namespaces routes may come.

    Attributes:
        origin: `Same`, `All`, `Selector`, or `None` (a word, not absence).
        selector: with `Selector` only.
    """

    origin: str = msgspec.field(default="Same", name="from")
    selector: LabelSelector | None = None


class AllowedRoutes(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Which routes a listener lets in.

    Attributes:
        kinds: empty means those that fit the listener's protocol.
    """

    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: tuple[RouteKind, ...] = ()


class ListenerTls(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """How a listener speaks TLS (`ListenerTLSConfig`).

    Attributes:
        mode: `Terminate` or `Passthrough`.
    """

    mode: str = "Terminate"
    certificate_refs: tuple[SecretRef, ...] = ()
    options: Mapping[str, str] = NOTHING


class GatewayListener(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """One listener.

    Attributes:
        protocol: `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or a domain-prefixed one.
        hostname: None (and empty) means every host.
    """

    name: str
    port: int
    protocol: str
    hostname: str | None = None
    tls: ListenerTls | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()
