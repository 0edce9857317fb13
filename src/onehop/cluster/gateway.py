"""GatewayClasses and Gateways (gateway.networking.k8s.io/v1).

Fields: https://gateway-api.sigs.k8s.io/reference/1.6/spec/ and `apis/v1/gateway_types.go`.
"""

from collections.abc import Mapping

import msgspec

from onehop.cluster.gateway_listener import GatewayListener
from onehop.cluster.gateway_ref import ForeignObjectRef, LocalObjectRef, SecretRef
from onehop.cluster.gateway_selector import LabelSelector
from onehop.cluster.gateway_status import ListenerStatus
from onehop.cluster.meta import NOTHING, Meta
from onehop.cluster.service import Condition


class GatewayClassSpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Who serves the class."""

    controller_name: str
    parameters_ref: ForeignObjectRef | None = None
    description: str | None = None


class SupportedFeature(msgspec.Struct, frozen=True, gc=False, order=True):
    """The name of a feature (GEP-2162)."""

    name: str


class GatewayClassStatus(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What was written back.

    Attributes:
        supported_features: in ascending order of names; before version 1.3 they were plain texts.
    """

    conditions: tuple[Condition, ...] = ()
    supported_features: tuple[SupportedFeature | str, ...] = ()


class GatewayClass(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A GatewayClass; it lives in no namespace."""

    metadata: Meta
    spec: GatewayClassSpec
    status: GatewayClassStatus = GatewayClassStatus()


class GatewayAddress(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An address that is asked for, or that was given.

    Attributes:
        type: `IPAddress`, `Hostname`, or a domain-prefixed one.
        value: None asks for any address of that type (feature GatewayAddressEmpty).
    """

    type: str = "IPAddress"
    value: str | None = None


class GatewayInfrastructure(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What to put on whatever is made for the Gateway (GEP-1762)."""

    labels: Mapping[str, str] = NOTHING
    annotations: Mapping[str, str] = NOTHING
    parameters_ref: LocalObjectRef | None = None


class ListenerNamespaces(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """From which namespaces ListenerSets may come.

    Attributes:
        origin: `None` (a word, not absence), `Same`, `All` or `Selector`.
        selector: with `Selector` only.
    """

    origin: str = msgspec.field(default="None", name="from")
    selector: LabelSelector | None = None


class AllowedListeners(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Which ListenerSets a Gateway lets in: none, unless it says otherwise."""

    namespaces: ListenerNamespaces = ListenerNamespaces()


class ClientValidation(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    omit_defaults=True,
    rename={"ca_certificate_refs": "caCertificateRefs"},
):
    """How certificates of clients are checked (`FrontendTLSValidation`, GEP-91).

    Attributes:
        mode: `AllowValidOnly`, or `AllowInsecureFallback`: the check's outcome keeps nobody out.
    """

    ca_certificate_refs: tuple[ForeignObjectRef, ...] = ()
    mode: str = "AllowValidOnly"


class FrontendTlsConfig(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What is asked of clients of HTTPS listeners; no validation means nothing."""

    validation: ClientValidation | None = None


class FrontendTlsPort(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is asked of clients of one port, instead of the default."""

    port: int
    tls: FrontendTlsConfig


class FrontendTls(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """TLS towards clients."""

    default: FrontendTlsConfig = FrontendTlsConfig()
    per_port: tuple[FrontendTlsPort, ...] = ()


class BackendTls(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """TLS towards backends: the certificate that the Gateway shows (GEP-3155)."""

    client_certificate_ref: SecretRef | None = None


class GatewayTls(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """TLS of the Gateway as a whole (`GatewayTLSConfig`)."""

    backend: BackendTls | None = None
    frontend: FrontendTls | None = None


class GatewaySpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What a Gateway asks for."""

    gateway_class_name: str
    listeners: tuple[GatewayListener, ...] = ()
    addresses: tuple[GatewayAddress, ...] = ()
    infrastructure: GatewayInfrastructure | None = None
    allowed_listeners: AllowedListeners = AllowedListeners()
    tls: GatewayTls | None = None


class GatewayStatus(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What was written back.

    Attributes:
        attached_listener_sets: how many ListenerSets are attached; None is not said.
    """

    addresses: tuple[GatewayAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()
    attached_listener_sets: int | None = None


class Gateway(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A Gateway."""

    metadata: Meta
    spec: GatewaySpec
    status: GatewayStatus = GatewayStatus()
