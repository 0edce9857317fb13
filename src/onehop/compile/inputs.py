"""The input tables: what is put into the sheet from outside."""

from typing import Final

import msgspec

from onehop.cluster import (
    BackendTLSPolicy,
    BGPConfiguration,
    BlockAffinity,
    CiliumNode,
    ConfigMap,
    CustomResourceDefinition,
    EndpointSlice,
    Gateway,
    GatewayClass,
    GRPCRoute,
    HTTPRoute,
    Ingress,
    IngressClass,
    IPPool,
    ListenerSet,
    Namespace,
    Node,
    ReferenceGrant,
    Secret,
    Service,
    TCPRoute,
    TLSRoute,
    UDPRoute,
)
from onehop.compile.options import Options
from onehop.compile.sheet import Demanded, Index, Table
from onehop.model.address import Cidr, IpAddr
from onehop.model.capability import Capability, Lack
from onehop.model.certificate import Certificate
from onehop.model.ident import ObjectRef
from onehop.model.reach import Area
from onehop.model.staple import Inquiry, Staple


class Held(msgspec.Struct, frozen=True, gc=False):
    """Addresses that a Service has been given before, so that it keeps them.

    Fed back by whoever runs the sheet, from its own results and over restarts; with it, an
    allocation is a pure function of what was put in, and stable all the same.
    """

    service: ObjectRef
    addresses: tuple[IpAddr, ...]


ONLY: Final = ()
"""The key of a table that has one row."""

OPTIONS = Table[tuple[()], Options]("options")
LACKS = Table[Capability, Lack]("lacks")
"""What the data plane in use lacks; another one may serve from one moment to the next."""
HOUR = Table[tuple[()], int]("hour")
"""The present time in seconds since the epoch, rounded down to the hour: certificates expire."""

SERVICES = Table[ObjectRef, Service]("services")
SLICES = Table[ObjectRef, EndpointSlice]("slices")
NODES = Table[ObjectRef, Node]("nodes")
NAMESPACES = Table[ObjectRef, Namespace]("namespaces")
INGRESSES = Table[ObjectRef, Ingress]("ingresses")
INGRESS_CLASSES = Table[ObjectRef, IngressClass]("ingress-classes")
SECRETS = Table[ObjectRef, Secret]("secrets")
CONFIG_MAPS = Table[ObjectRef, ConfigMap]("config-maps")
BLOCK_AFFINITIES = Table[ObjectRef, BlockAffinity]("block-affinities")
IP_POOLS = Table[ObjectRef, IPPool]("ip-pools")
BGP_CONFIGURATIONS = Table[ObjectRef, BGPConfiguration]("bgp-configurations")
CILIUM_NODES = Table[ObjectRef, CiliumNode]("cilium-nodes")
GATEWAY_CLASSES = Table[ObjectRef, GatewayClass]("gateway-classes")
GATEWAYS = Table[ObjectRef, Gateway]("gateways")
LISTENER_SETS = Table[ObjectRef, ListenerSet]("listener-sets")
HTTP_ROUTES = Table[ObjectRef, HTTPRoute]("http-routes")
GRPC_ROUTES = Table[ObjectRef, GRPCRoute]("grpc-routes")
TLS_ROUTES = Table[ObjectRef, TLSRoute]("tls-routes")
TCP_ROUTES = Table[ObjectRef, TCPRoute]("tcp-routes")
UDP_ROUTES = Table[ObjectRef, UDPRoute]("udp-routes")
REFERENCE_GRANTS = Table[ObjectRef, ReferenceGrant]("reference-grants")
BACKEND_TLS_POLICIES = Table[ObjectRef, BackendTLSPolicy]("backend-tls-policies")
DEFINITIONS = Table[ObjectRef, CustomResourceDefinition]("definitions")
HELD = Table[ObjectRef, Held]("held")
AREAS = Demanded[Cidr, Area]("areas")
"""What this host's routing table says of the prefixes that Pods are in."""
RETURN_PATHS = Demanded[Cidr, bool]("return-paths")
"""Whether Pods answer a network through this host, as far as that was tried."""
STAPLES = Demanded[Inquiry, Staple]("staples")
"""What CAs say of the certificates that are shown."""
KEPT = Table[ObjectRef, Certificate]("kept")
"""The last good certificate of a Secret, shown while the Secret holds a bad one."""

DEFAULT_CERTIFICATE = Index[tuple[()], Options, ObjectRef](
    OPTIONS,
    "default-certificate",
    lambda _, options: (options.default_certificate,) if options.default_certificate else (),
)
ANSWERS_SECRET = Index[tuple[()], Options, ObjectRef](
    OPTIONS, "answers", lambda _, options: (options.answers,) if options.answers else ()
)
SERVICE_REFS = Index[ObjectRef, Service, ObjectRef](SERVICES, "ref", lambda ref, _: (ref,))
HELD_REFS = Index[ObjectRef, Held, ObjectRef](HELD, "ref", lambda ref, _: (ref,))
HELD_ADDRESSES = Index[ObjectRef, Held, IpAddr](HELD, "address", lambda _, held: held.addresses)
NODE_REFS = Index[ObjectRef, Node, ObjectRef](NODES, "ref", lambda ref, _: (ref,))
INGRESS_REFS = Index[ObjectRef, Ingress, ObjectRef](INGRESSES, "ref", lambda ref, _: (ref,))
CLASS_DEFAULTS = Index[ObjectRef, IngressClass, tuple[()]](
    INGRESS_CLASSES,
    "default",
    lambda _, item: (
        (ONLY,)
        if item.metadata.annotation("ingressclass.kubernetes.io/is-default-class") == "true"
        else ()
    ),
)
SLICES_OF_SERVICE = Index[ObjectRef, EndpointSlice, ObjectRef](
    SLICES,
    "service",
    lambda _, item: (
        (ObjectRef("Service", item.metadata.namespace, item.service),) if item.service else ()
    ),
)
