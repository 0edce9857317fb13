"""What somebody means by the text they typed."""

import difflib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from onehop.compile.compiler import Compiler
from onehop.control.explain.explanation import Refusal
from onehop.control.explain.matching import normal_path
from onehop.model.ident import ObjectRef
from onehop.model.problem import quoted

ALLOWED: Final = (
    "a target is a URL (http://HOST/PATH, https://..., tcp://ADDRESS:PORT, udp://ADDRESS:PORT),"
    " service/NAMESPACE/NAME, service/NAMESPACE/NAME:PORT, ingress/NAMESPACE/NAME,"
    " httproute/NAMESPACE/NAME, grpcroute/NAMESPACE/NAME,"
    " or NAMESPACE/NAME of a Service or an Ingress, if only one of the two has it"
)
_KINDS: Final = {
    "service": "Service",
    "services": "Service",
    "svc": "Service",
    "ingress": "Ingress",
    "ingresses": "Ingress",
    "ing": "Ingress",
    "httproute": "HTTPRoute",
    "httproutes": "HTTPRoute",
    "grpcroute": "GRPCRoute",
    "grpcroutes": "GRPCRoute",
}
_URL: Final = re.compile(r"(?P<scheme>https?|tcp|udp)://.+", re.IGNORECASE)
_HOST_FIRST: Final = re.compile(r"[^/]*[.:\[][^/]*(/.*)?")
_NAME: Final = re.compile(r"(?P<name>[^/:]+)(?::(?P<port>[0-9]{1,5}))?")
_LONGEST: Final = 4096
_LAST_PORT: Final = 65535
_LOOKED_THROUGH: Final = 2000
"""Names that are compared with a mistyped one; comparing costs some 10 µs each."""
_SHOWN: Final = 5


class UrlTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A request.

    Attributes:
        scheme: `http`, `https`, `tcp` or `udp`.
        host: lower case, or an address; no brackets.
        port: None if none was typed.
        path: normalised, without query.
    """

    scheme: str
    host: str
    port: int | None
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port is not None else ""
        return f"{self.scheme}://{host}{port}{self.path}"


class ObjectTarget(msgspec.Struct, frozen=True):
    """An object, and of a Service one port of it or None for all."""

    ref: ObjectRef
    port: int | None = None


Meant: TypeAlias = UrlTarget | ObjectTarget


def read_target(text: str, compiler: Compiler) -> Meant | Refusal:
    """Return what is meant, or why nothing is."""
    text = text.strip()
    if len(text) > _LONGEST or not text.isprintable():
        return Refusal(message=f"{quoted(text)}: {ALLOWED}", is_wrong_use=True)
    if _URL.fullmatch(text):
        return _url(text)
    parts = text.split("/")
    kind = _KINDS.get(parts[0].lower())
    if kind is not None and len(parts) == 3:  # noqa: PLR2004  kind, namespace, name
        return _object(kind, parts[1], parts[2], compiler) or _wrong(text)
    if _HOST_FIRST.fullmatch(text) and "." in parts[0]:
        return _url(f"http://{text}")
    if kind is None and len(parts) == 2:  # noqa: PLR2004  namespace, name
        return _unique(parts[0], parts[1], compiler) or _wrong(text)
    return _wrong(text)


def _wrong(text: str) -> Refusal:
    return Refusal(message=f"{quoted(text)}: {ALLOWED}", is_wrong_use=True)


def _url(text: str) -> UrlTarget | Refusal:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as err:
        return Refusal(message=f"{quoted(text)}: {err}", is_wrong_use=True)
    if not parts.hostname or port == 0:
        return _wrong(text)
    is_stream = parts.scheme in ("tcp", "udp")
    if is_stream and (port is None or parts.path not in ("", "/")):
        said = f"{quoted(text)}: {parts.scheme} needs a port, and has no path: {ALLOWED}"
        return Refusal(message=said, is_wrong_use=True)
    return UrlTarget(
        scheme=parts.scheme,
        host=parts.hostname.lower().rstrip("."),
        port=port,
        path="" if is_stream else normal_path(parts.path),
    )


def _object(kind: str, namespace: str, name: str, compiler: Compiler) -> Meant | Refusal | None:
    match = _NAME.fullmatch(name)
    if match is None or not namespace:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and (kind != "Service" or not 0 < port <= _LAST_PORT):
        return None
    ref = ObjectRef(kind, namespace, match["name"])
    if compiler.object(ref) is not None:
        return ObjectTarget(ref, port)
    return _unknown(f"there is no {ref}", ref, compiler)


def _unique(namespace: str, name: str, compiler: Compiler) -> Meant | Refusal | None:
    match = _NAME.fullmatch(name)
    if match is None or not namespace:
        return None
    if match["port"]:
        return _object("Service", namespace, name, compiler)
    refs = [ObjectRef(kind, namespace, name) for kind in ("Service", "Ingress")]
    there = [ref for ref in refs if compiler.object(ref) is not None]
    if len(there) == 1:
        return ObjectTarget(there[0])
    if there:
        said = f"{namespace}/{name} is a Service and an Ingress; say which"
        return Refusal(message=said, near=tuple(map(written, there)))
    said = f"there is no Service and no Ingress {namespace}/{name}"
    return _unknown(said, refs[0], compiler)


def written(ref: ObjectRef) -> str:
    """Return an object as a target is typed."""
    return f"{ref.kind.lower()}/{ref.namespace}/{ref.name}"


def _unknown(message: str, ref: ObjectRef, compiler: Compiler) -> Refusal:
    there = [other for kind in dict.fromkeys(_KINDS.values()) for other in compiler.refs(kind)]
    names = {written(other): other.name for other in there}
    same = [text for text, name in names.items() if name == ref.name]
    return Refusal(message=message, near=near(written(ref), names, first=same))


def near(text: str, names: Iterable[str], *, first: Iterable[str] = ()) -> tuple[str, ...]:
    """Return a few names that look like a text, the likeliest first."""
    space = text.rpartition("/")[0]
    ordered = sorted(names, key=lambda name: not name.startswith(space))
    alike = difflib.get_close_matches(text, ordered[:_LOOKED_THROUGH], n=_SHOWN)
    return tuple(islice(_once((*first, *alike)), _SHOWN))


def _once(texts: Iterable[str]) -> Iterator[str]:
    yield from dict.fromkeys(texts)
