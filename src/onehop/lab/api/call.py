"""One request, as plain values: what it asks for, of what, and in which form.

Everything between a socket and the Store that can be decided without either is decided here.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from onehop.lab.api.printing import TableStyle
from onehop.lab.api.protobuf import decode_protobuf
from onehop.lab.api.refusal import Refused, bad_request, no_such_path
from onehop.lab.api.resource import Registry, Resource

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
READS = frozenset({"get", "list", "watch"})


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request without its connection."""

    method: str
    path: str
    query: Mapping[str, str]
    accept: str = ""
    content_type: str = ""
    user_agent: str = ""
    body: bytes = b""

    def flag(self, name: str) -> bool:
        """Return whether a boolean option is set; Go accepts `1`, `t`, `true`, `True`."""
        return self.query.get(name, "").lower() in ("1", "t", "true")

    def number(self, name: str) -> int:
        """Return a numeric option, 0 when it is absent; refuse with 400 what is no number."""
        text = self.query.get(name) or "0"
        if not text.lstrip("-").isdigit():
            raise bad_request(f"Invalid value: {text!r}: {name} must be a number")
        return int(text)

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is to be written."""
        told = self.query.get("dryRun", "")
        if told not in ("", "All"):
            raise bad_request(f"Invalid value: {told!r}: dryRun can only be All")
        return told == "All"

    @property
    def manager(self) -> str:
        """Whose write it is: the fieldManager, or the program's name from User-Agent."""
        return self.query.get("fieldManager") or self.agent or "unknown"

    @property
    def agent(self) -> str:
        """The program's name: User-Agent up to the slash."""
        return self.user_agent.partition("/")[0]

    def content(self) -> Any:
        """Return the decoded body; refuse with 400 or 415 what cannot be understood."""
        if "protobuf" in self.content_type:
            return decode_protobuf(self.body)
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            if "yaml" not in self.content_type:
                raise bad_request(f"the body is no JSON: {error}") from error
        try:
            return yaml.load(self.body, Loader=yaml.CSafeLoader)  # a safe loader, in C
        except yaml.YAMLError as error:
            raise bad_request(f"the body is no YAML: {error}") from error


class Target(msgspec.Struct, frozen=True):
    """What the URL means.

    Attributes:
        namespace: "" for all namespaces, and for resources of the cluster.
        name: "" for the whole collection.
        subresource: "" or `status`.
    """

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_target(path: str, registry: Registry) -> Target:
    """Return what a path under /api or /apis means; refuse with 404 what is not served.

    `/api/v1/namespaces/shop/services/web/status`, `/apis/networking.k8s.io/v1/ingresses`.
    """
    match path.strip("/").split("/"):
        case ["api", version, *rest] if rest:
            group = ""
        case ["apis", group, version, *rest] if rest:
            pass
        case _:
            raise no_such_path()
    namespace = ""
    match rest:
        case ["namespaces", name, "status"]:
            plural, tail = "namespaces", [name, "status"]
        case ["namespaces", namespace, plural, *tail]:
            pass
        case [plural, *tail]:
            pass
        case _:
            raise no_such_path()
    resource = registry.at(group, version, plural)
    name, subresource = (*tail, "", "")[:2]
    is_misplaced = bool(namespace) and not resource.namespaced
    is_homeless = resource.namespaced and bool(name) and not namespace
    is_unknown = subresource not in (("", "status") if resource.has_status else ("",))
    if len(tail) > 2 or is_misplaced or is_homeless or is_unknown:  # noqa: PLR2004  name/status
        raise no_such_path()
    return Target(resource, namespace, name, subresource)


def verb_of(call: Call, target: Target) -> str:
    """Return the API verb, as RBAC names it; refuse with 405 what makes none."""
    match call.method, bool(target.name):
        case "GET" | "HEAD", True:
            return "watch" if call.flag("watch") and not target.subresource else "get"
        case "GET" | "HEAD", False:
            return "watch" if call.flag("watch") else "list"
        case "POST", False:
            return "create"
        case "PUT", True:
            return "update"
        case "PATCH", True:
            return "patch"
        case "DELETE", True:
            return "delete"
        case "DELETE", False:
            return "deletecollection"
        case _:
            message = "the server does not allow this method on the requested resource"
            raise Refused(405, "MethodNotAllowed", message)


def table_style(call: Call) -> TableStyle | None:
    """Return how the client wants a table, None when it wants objects.

    Refuses with 406 a client that understands nothing this server can say.
    """
    for clause in call.accept.split(","):
        media, *parameters = (each.strip() for each in clause.split(";"))
        options = dict(each.split("=", 1) for each in parameters if "=" in each)
        if media not in ("application/json", "application/*", "*/*", ""):
            continue
        match options.get("as"):
            case None:
                return None
            case "Table" if options.get("v") in ("v1", "v1beta1"):
                return TableStyle(options["v"], call.query.get("includeObject") or "Metadata")
            case _:
                continue
    if "application/yaml" in call.accept or "text/" in call.accept:
        return None  # a browser, say: JSON is what there is
    message = "only the following media types are accepted: application/json"
    raise Refused(406, "NotAcceptable", message)
