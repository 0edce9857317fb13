"""Ingress and IngressClass.

Kubernetes `pkg/apis/networking/validation/validation.go`, and the admission plugin
DefaultIngressClass.
"""

from collections.abc import Iterator
from datetime import datetime

from onehop.lab.api.check import (
    host_faults,
    immutable_faults,
    items,
    part,
    port_faults,
    port_name_faults,
    present_faults,
)
from onehop.lab.api.printing import AGE, NAME
from onehop.lab.api.refusal import FieldFault, Json, forbidden, invalid, required, unsupported
from onehop.lab.api.resource import Column, NoRules, Resource, World

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"


class IngressRules(NoRules):
    """Defaults and checks of an Ingress."""

    def default(self, obj: Json, old: Json | None, world: World) -> None:
        """Give a new Ingress that names no class the default one, and an empty status."""
        spec = obj["spec"] = dict(part(obj, "spec"))
        obj.setdefault("status", {"loadBalancer": {}})
        says_class = CLASS_ANNOTATION in part(obj["metadata"], "annotations")
        if old is None and not spec.get("ingressClassName") and not says_class:
            name = _default_class(world)
            if name:
                spec["ingressClassName"] = name

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:  # noqa: ARG002  the protocol has them
        """Yield what the API would refuse."""
        spec = part(obj, "spec")
        if not items(spec, "rules") and not spec.get("defaultBackend"):
            yield invalid("spec", {}, "either `defaultBackend` or `rules` must be specified")
        if spec.get("defaultBackend"):
            yield from _backend_faults("spec.defaultBackend", spec["defaultBackend"])
        for index, rule in enumerate(items(spec, "rules")):
            yield from _rule_faults(f"spec.rules[{index}]", rule)
        for index, tls in enumerate(items(spec, "tls")):
            for place, host in enumerate(items(tls, "hosts")):
                field = f"spec.tls[{index}].hosts[{place}]"
                yield from host_faults(field, str(host), may_be_wildcard=True)
        annotation = part(obj["metadata"], "annotations").get(CLASS_ANNOTATION)
        if old is None and annotation and spec.get("ingressClassName"):
            field = f"annotations.{CLASS_ANNOTATION}"
            yield invalid(field, annotation, "can not be set when the class field is also set")


def _default_class(world: World) -> str:
    """Return the newest class marked as default, "" when there is none (KEP-1453)."""
    marked = [
        each["metadata"]
        for each in world.objects("ingressclasses.networking.k8s.io")
        if part(each["metadata"], "annotations").get(DEFAULT_CLASS_ANNOTATION) == "true"
    ]
    marked.sort(key=lambda each: (each["creationTimestamp"], each["name"]))
    return str(marked[-1]["name"]) if marked else ""


def _rule_faults(field: str, rule: Json) -> Iterator[FieldFault]:
    if rule.get("host"):
        yield from host_faults(f"{field}.host", str(rule["host"]), may_be_wildcard=True)
    http = rule.get("http")
    if http is None:
        return
    if not items(http, "paths"):
        yield required(f"{field}.http.paths")
    for index, path in enumerate(items(http, "paths")):
        yield from _path_faults(f"{field}.http.paths[{index}]", path)


def _path_faults(field: str, path: Json) -> Iterator[FieldFault]:
    kind, text = path.get("pathType"), str(path.get("path", ""))
    if kind is None:
        yield required(f"{field}.pathType", "pathType must be specified")
    elif kind not in PATH_TYPES:
        yield unsupported(f"{field}.pathType", kind, PATH_TYPES)
    elif kind != "ImplementationSpecific" or text:
        if not text.startswith("/"):
            yield invalid(f"{field}.path", text, "must be an absolute path")
        for bad in ("//", "/./", "/../", "%2f", "%2F") if kind != "ImplementationSpecific" else ():
            if bad in text:
                yield invalid(f"{field}.path", text, f"must not contain '{bad}'")
    yield from _backend_faults(f"{field}.backend", part(path, "backend"))


def _backend_faults(field: str, backend: Json) -> Iterator[FieldFault]:
    service, resource = backend.get("service"), backend.get("resource")
    if (service is None) == (resource is None):
        if service is None:
            yield required(field, "port name or number is required" if backend else "")
        else:
            yield invalid(field, "", "cannot set both resource and service backends")
        return
    if service is None:
        return
    yield from present_faults(f"{field}.service.name", service.get("name"))
    port = part(service, "port")
    name, number = port.get("name"), port.get("number")
    if name and number:
        yield invalid(field, "", "cannot set both port name & port number")
    elif name:
        yield from port_name_faults(f"{field}.service.port.name", str(name))
    elif number is not None:
        yield from port_faults(f"{field}.service.port.number", number)
    else:
        yield required(field, "port name or number is required")


class IngressClassRules(NoRules):
    """Checks of an IngressClass."""

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:  # noqa: ARG002  the protocol has them
        """Yield what the API would refuse."""
        spec = part(obj, "spec")
        if old is not None:
            had = part(old, "spec").get("controller")
            yield from immutable_faults("spec.controller", spec.get("controller"), had)
        elif not spec.get("controller"):
            yield required("spec.controller")
        parameters = spec.get("parameters")
        if parameters is not None and not (parameters.get("kind") and parameters.get("name")):
            yield forbidden("spec.parameters", "kind and name must be set")


def _hosts(obj: Json, _now: datetime) -> str:
    hosts = [each["host"] for each in items(part(obj, "spec"), "rules") if each.get("host")]
    more = len(hosts) - 3
    return (",".join(hosts[:3]) or "*") + (f" + {more} more..." if more > 0 else "")


def _address(obj: Json, _now: datetime) -> str:
    told = items(part(part(obj, "status"), "loadBalancer"), "ingress")
    return ",".join(each.get("ip") or each.get("hostname", "") for each in told)


def _parameters(obj: Json, _now: datetime) -> str:
    told = part(part(obj, "spec"), "parameters")
    if not told:
        return "<none>"
    group = f".{told['apiGroup']}" if told.get("apiGroup") else ""
    return f"{told.get('kind')}{group}/{told.get('name')}"


INGRESS = Resource(
    group="networking.k8s.io",
    version="v1",
    plural="ingresses",
    singular="ingress",
    kind="Ingress",
    short_names=("ing",),
    has_status=True,
    has_generation=True,
    empty=b'{"spec":{},"status":{"loadBalancer":{}}}',
    columns=(
        NAME,
        Column("Class", lambda obj, _: part(obj, "spec").get("ingressClassName") or "<none>"),
        Column("Hosts", _hosts),
        Column("Address", _address),
        Column("Ports", lambda obj, _: "80, 443" if items(part(obj, "spec"), "tls") else "80"),
        AGE,
    ),
    rules=IngressRules(),
)

INGRESS_CLASS = Resource(
    group="networking.k8s.io",
    version="v1",
    plural="ingressclasses",
    singular="ingressclass",
    kind="IngressClass",
    namespaced=False,
    has_generation=True,
    empty=b'{"spec":{}}',
    columns=(
        NAME,
        Column("Controller", lambda obj, _: part(obj, "spec").get("controller", "")),
        Column("Parameters", _parameters),
        AGE,
    ),
    rules=IngressClassRules(),
)
