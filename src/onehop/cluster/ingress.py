"""Ingresses and IngressClasses (networking.k8s.io/v1)."""

import msgspec

from onehop.cluster.meta import Meta
from onehop.cluster.service import LoadBalancerStatus


class ServiceBackendPort(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Service port by name or by number; the API demands exactly one."""

    name: str = ""
    number: int = 0


class ServiceBackend(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Service in the Ingress's namespace."""

    name: str
    port: ServiceBackendPort = ServiceBackendPort()


class ResourceBackend(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """Some other object; we know none that fits."""

    kind: str
    name: str
    api_group: str | None = None


class IngressBackend(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where matched requests go: exactly one of the two."""

    service: ServiceBackend | None = None
    resource: ResourceBackend | None = None


class HttpPath(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """One path of a rule."""

    backend: IngressBackend
    path: str = ""
    path_type: str | None = None


class HttpRule(msgspec.Struct, frozen=True, gc=False):
    """The paths of a rule."""

    paths: tuple[HttpPath, ...] = ()


class IngressRule(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A host (empty: every host that no other rule names) and its paths."""

    host: str = ""
    http: HttpRule | None = None


class IngressTls(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """A certificate and the hosts it is for."""

    hosts: tuple[str, ...] | None = None
    secret_name: str = ""


class IngressSpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What an Ingress asks for."""

    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    rules: tuple[IngressRule, ...] | None = None
    tls: tuple[IngressTls, ...] | None = None


class IngressStatus(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """What was written back."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Ingress(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An Ingress."""

    metadata: Meta
    spec: IngressSpec = IngressSpec()
    status: IngressStatus = IngressStatus()


class IngressClassSpec(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Who serves the class."""

    controller: str = ""


class IngressClass(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An IngressClass."""

    metadata: Meta
    spec: IngressClassSpec = IngressClassSpec()
