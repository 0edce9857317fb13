"""Schemas of routes, grants and policies (`apis/v1/httproute_types.go` and beside it)."""

from typing import Final

from onehop.lab.api.kind.gateway_schema import (
    ANY_GROUP,
    ANY_KIND,
    BACKEND_FIELDS,
    CONDITIONS,
    CONTROLLER,
    DURATION,
    HOSTNAME,
    LOCAL_REF,
    NAME,
    NAMESPACE,
    PARENT_REF,
    PORT,
    PRECISE_HOSTNAME,
    SECTION,
    choice,
    fields,
    listed,
    mapping,
    text,
    whole,
)
from onehop.lab.api.refusal import Json

_HEADER_NAME: Final = text(256, pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$")
_HEADER: Final = fields({"name": _HEADER_NAME, "value": text(4096)}, "name", "value")
_HEADERS: Final = fields(
    {
        "set": listed(_HEADER, 16, key="name"),
        "add": listed(_HEADER, 16, key="name"),
        "remove": {"type": "array", "items": {"type": "string"}, "maxItems": 16}
        | {"x-kubernetes-list-type": "set"},
    }
)
_PATH_MODIFIER: Final = fields(
    {
        "type": choice("ReplaceFullPath", "ReplacePrefixMatch"),
        "replaceFullPath": text(1024, 0),
        "replacePrefixMatch": text(1024, 0),
    },
    "type",
)
_MIRROR: Final = fields(
    {
        "backendRef": fields(BACKEND_FIELDS, "name"),
        "percent": whole(0, 100, format="int32"),
        "fraction": fields(
            {
                "numerator": whole(0, 2**31 - 1, format="int32"),
                "denominator": whole(1, 2**31 - 1, format="int32", default=100),
            },
            "numerator",
        ),
    },
    "backendRef",
)
_CORS: Final = fields(
    {
        "allowOrigins": listed(text(), 64) | {"x-kubernetes-list-type": "set"},
        "allowCredentials": {"type": "boolean"},
        "allowMethods": listed(
            choice(
                "GET",
                "HEAD",
                "POST",
                "PUT",
                "DELETE",
                "CONNECT",
                "OPTIONS",
                "TRACE",
                "PATCH",
                "*",
            ),
            9,
        )
        | {"x-kubernetes-list-type": "set"},
        "allowHeaders": listed(_HEADER_NAME, 64) | {"x-kubernetes-list-type": "set"},
        "exposeHeaders": listed(_HEADER_NAME, 64) | {"x-kubernetes-list-type": "set"},
        "maxAge": whole(1, 2**31 - 1, format="int32", default=5),
    }
)
_COMMON_FILTERS: Final[Json] = {
    "requestHeaderModifier": _HEADERS,
    "responseHeaderModifier": _HEADERS,
    "requestMirror": _MIRROR,
    "extensionRef": LOCAL_REF,
}
_HTTP_FILTERS: Final = listed(
    fields(
        {
            "type": choice(
                "RequestHeaderModifier",
                "ResponseHeaderModifier",
                "RequestMirror",
                "RequestRedirect",
                "URLRewrite",
                "ExtensionRef",
                "CORS",
            ),
            **_COMMON_FILTERS,
            "requestRedirect": fields(
                {
                    "scheme": choice("http", "https"),
                    "hostname": PRECISE_HOSTNAME,
                    "path": _PATH_MODIFIER,
                    "port": PORT,
                    "statusCode": {
                        "type": "integer",
                        "enum": [301, 302, 303, 307, 308],
                        "default": 302,
                    },
                }
            ),
            "urlRewrite": fields({"hostname": PRECISE_HOSTNAME, "path": _PATH_MODIFIER}),
            "cors": _CORS,
        },
        "type",
    ),
    16,
)
_GRPC_FILTERS: Final = listed(
    fields(
        {
            "type": choice(
                "RequestHeaderModifier",
                "ResponseHeaderModifier",
                "RequestMirror",
                "ExtensionRef",
            ),
            **_COMMON_FILTERS,
        },
        "type",
    ),
    16,
)
_WEIGHT: Final = whole(0, 1_000_000, format="int32", default=1)
_PERSISTENCE: Final = fields(
    {
        "sessionName": text(128, 0),
        "absoluteTimeout": DURATION,
        "idleTimeout": DURATION,
        "type": choice("Cookie", "Header", default="Cookie"),
        "cookieConfig": fields({"lifetimeType": choice("Permanent", "Session", default="Session")}),
    }
)
_EVERY_PATH: Final[Json] = {"type": "PathPrefix", "value": "/"}
_HTTP_MATCH: Final = fields(
    {
        "path": fields(
            {
                "type": choice("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
                "value": text(1024, 0, default="/"),
            },
            default=_EVERY_PATH,
        ),
        "headers": listed(
            fields(
                {
                    "type": choice("Exact", "RegularExpression", default="Exact"),
                    "name": _HEADER_NAME,
                    "value": text(4096),
                },
                "name",
                "value",
            ),
            16,
            key="name",
        ),
        "queryParams": listed(
            fields(
                {
                    "type": choice("Exact", "RegularExpression", default="Exact"),
                    "name": _HEADER_NAME,
                    "value": text(1024),
                },
                "name",
                "value",
            ),
            16,
            key="name",
        ),
        "method": choice(
            "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"
        ),
    }
)
_HTTP_RULE: Final = fields(
    {
        "name": SECTION,
        "matches": listed(_HTTP_MATCH, 64, default=[{"path": _EVERY_PATH}]),
        "filters": _HTTP_FILTERS,
        "backendRefs": listed(
            fields({**BACKEND_FIELDS, "weight": _WEIGHT, "filters": _HTTP_FILTERS}, "name"), 16
        ),
        "timeouts": fields({"request": DURATION, "backendRequest": DURATION}),
        "retry": fields(
            {
                "codes": listed(whole(400, 599), 64),
                "attempts": {"type": "integer"},
                "backoff": DURATION,
            }
        ),
        "sessionPersistence": _PERSISTENCE,
    }
)
_GRPC_MATCH: Final = fields(
    {
        "method": fields(
            {
                "type": choice("Exact", "RegularExpression", default="Exact"),
                "service": text(1024, 0),
                "method": text(1024, 0),
            }
        ),
        "headers": listed(
            fields(
                {
                    "type": choice("Exact", "RegularExpression", default="Exact"),
                    "name": _HEADER_NAME,
                    "value": text(4096),
                },
                "name",
                "value",
            ),
            16,
            key="name",
        ),
    }
)
_GRPC_RULE: Final = fields(
    {
        "name": SECTION,
        "matches": listed(_GRPC_MATCH, 64),
        "filters": _GRPC_FILTERS,
        "backendRefs": listed(
            fields({**BACKEND_FIELDS, "weight": _WEIGHT, "filters": _GRPC_FILTERS}, "name"), 16
        ),
        "sessionPersistence": _PERSISTENCE,
    }
)
_STREAM_RULES: Final = listed(
    fields(
        {
            "name": SECTION,
            "backendRefs": listed(fields({**BACKEND_FIELDS, "weight": _WEIGHT}, "name"), 16, 1),
        },
        "backendRefs",
    ),
    1,
    1,
)
_ROUTE_STATUS: Final = fields(
    {
        "parents": listed(
            fields(
                {"parentRef": PARENT_REF, "controllerName": CONTROLLER, "conditions": CONDITIONS},
                "conditions",
                "controllerName",
                "parentRef",
            ),
            32,
        )
    },
    "parents",
)
_PARENT_REFS: Final = listed(PARENT_REF, 32)


def http_schema() -> Json:
    """Return the schema of HTTPRoutes."""
    rules = listed(_HTTP_RULE, 16, 1, default=[{"matches": [{"path": _EVERY_PATH}]}])
    return _route({"hostnames": listed(HOSTNAME, 16), "rules": rules})


def grpc_schema() -> Json:
    """Return the schema of GRPCRoutes."""
    return _route({"hostnames": listed(HOSTNAME, 16), "rules": listed(_GRPC_RULE, 16)})


def tls_schema() -> Json:
    """Return the schema of TLSRoutes."""
    return _route(
        {"hostnames": listed(HOSTNAME, 16, 1), "rules": _STREAM_RULES}, "hostnames", "rules"
    )


def stream_schema() -> Json:
    """Return the schema of TCPRoutes and UDPRoutes."""
    return _route({"rules": _STREAM_RULES}, "rules")


def grant_schema() -> Json:
    """Return the schema of ReferenceGrants."""
    origin = fields(
        {"group": ANY_GROUP, "kind": ANY_KIND, "namespace": NAMESPACE},
        "group",
        "kind",
        "namespace",
    )
    to = fields({"group": ANY_GROUP, "kind": ANY_KIND, "name": NAME}, "group", "kind")
    spec = fields({"from": listed(origin, 16, 1), "to": listed(to, 16, 1)}, "from", "to")
    return fields({"spec": spec}, "spec")


def backend_tls_schema() -> Json:
    """Return the schema of BackendTLSPolicies."""
    name = fields({"type": choice("Hostname", "URI"), "hostname": HOSTNAME, "uri": text()}, "type")
    target = fields(
        {"group": ANY_GROUP, "kind": ANY_KIND, "name": NAME, "sectionName": SECTION},
        "group",
        "kind",
        "name",
    )
    validation = fields(
        {
            "caCertificateRefs": listed(LOCAL_REF, 8),
            "wellKnownCACertificates": choice("System"),
            "hostname": PRECISE_HOSTNAME,
            "subjectAltNames": listed(name, 5),
        },
        "hostname",
    )
    spec = fields(
        {
            "targetRefs": listed(target, 16, 1),
            "validation": validation,
            "options": mapping(16, 4096),
        },
        "targetRefs",
        "validation",
    )
    ancestor = fields(
        {"ancestorRef": PARENT_REF, "controllerName": CONTROLLER, "conditions": CONDITIONS},
        "ancestorRef",
        "conditions",
        "controllerName",
    )
    status = fields({"ancestors": listed(ancestor, 16)}, "ancestors")
    return fields({"spec": spec, "status": status}, "spec")


def _route(properties: Json, *required: str) -> Json:
    spec = fields({"parentRefs": _PARENT_REFS, **properties}, *required)
    return fields({"spec": spec, "status": _ROUTE_STATUS}, "spec")
