"""Schemas of GatewayClasses, Gateways and ListenerSets (`apis/v1/gateway_types.go`)."""

from typing import Final

from onehop.lab.api.kind.gateway_schema import (
    ANY_GROUP,
    ANY_KIND,
    CONDITIONS,
    CONTROLLER,
    GROUP,
    HOSTNAME,
    LOCAL_REF,
    OBJECT_REF,
    PARENT_GATEWAY,
    PORT,
    SECRET_REF,
    SECTION,
    SELECTOR,
    choice,
    fields,
    listed,
    mapping,
    pending,
    text,
    whole,
)
from onehop.lab.api.refusal import Json

_ROUTE_KIND: Final = fields({"group": {**ANY_GROUP, "default": GROUP}, "kind": ANY_KIND}, "kind")
_LISTENER: Final = fields(
    {
        "name": SECTION,
        "hostname": HOSTNAME,
        "port": PORT,
        "protocol": text(
            255,
            pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
            r"|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$",
        ),
        "tls": fields(
            {
                "mode": choice("Terminate", "Passthrough", default="Terminate"),
                "certificateRefs": listed(SECRET_REF, 64),
                "options": mapping(16, 4096),
            }
        ),
        "allowedRoutes": fields(
            {
                "namespaces": fields(
                    {
                        "from": choice("All", "Selector", "Same", "None", default="Same"),
                        "selector": SELECTOR,
                    },
                    default={"from": "Same"},
                ),
                "kinds": listed(_ROUTE_KIND, 8),
            },
            default={"namespaces": {"from": "Same"}},
        ),
    },
    "name",
    "port",
    "protocol",
)
_LISTENER_STATUS: Final = fields(
    {
        "name": SECTION,
        "supportedKinds": listed(_ROUTE_KIND, 8),
        "attachedRoutes": {"type": "integer", "format": "int32"},
        "conditions": CONDITIONS,
    },
    "attachedRoutes",
    "conditions",
    "name",
)
_CLIENT_VALIDATION: Final = fields(
    {
        "validation": fields(
            {
                "caCertificateRefs": listed(OBJECT_REF, 8, 1),
                "mode": choice("AllowValidOnly", "AllowInsecureFallback", default="AllowValidOnly"),
            },
            "caCertificateRefs",
        )
    }
)
_TLS: Final = fields(
    {
        "backend": fields({"clientCertificateRef": SECRET_REF}),
        "frontend": fields(
            {
                "default": _CLIENT_VALIDATION,
                "perPort": listed(
                    fields({"port": PORT, "tls": _CLIENT_VALIDATION}, "port", "tls"),
                    64,
                    key="port",
                ),
            },
            "default",
        ),
    }
)
_ADDRESS_TYPE: Final = text(
    pattern=r"^Hostname|IPAddress|NamedAddress"
    r"|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$",
    default="IPAddress",
)


def class_schema() -> Json:
    """Return the schema of GatewayClasses."""
    spec = fields(
        {
            "controllerName": CONTROLLER,
            "description": text(64, 0),
            "parametersRef": OBJECT_REF,
        },
        "controllerName",
    )
    status = fields(
        {
            "conditions": {**CONDITIONS, "default": pending("Accepted")},
            "supportedFeatures": listed(
                fields({"name": {"type": "string"}}, "name"), 64, key="name"
            ),
        },
        default={"conditions": pending("Accepted")},
    )
    return fields({"spec": spec, "status": status}, "spec")


def gateway_schema() -> Json:
    """Return the schema of Gateways."""
    spec = fields(
        {
            "gatewayClassName": text(),
            "listeners": listed(_LISTENER, 64, 1, key="name"),
            "addresses": listed(fields({"type": _ADDRESS_TYPE, "value": text()}), 16),
            "infrastructure": fields(
                {
                    "labels": mapping(8, 63),
                    "annotations": mapping(8, 4096),
                    "parametersRef": LOCAL_REF,
                }
            ),
            "allowedListeners": fields(
                {
                    "namespaces": fields(
                        {
                            "from": choice("All", "Selector", "Same", "None", default="None"),
                            "selector": SELECTOR,
                        },
                        default={"from": "None"},
                    )
                }
            ),
            "tls": _TLS,
        },
        "gatewayClassName",
        "listeners",
    )
    status = fields(
        {
            "addresses": listed(fields({"type": _ADDRESS_TYPE, "value": text()}, "value"), 16),
            "attachedListenerSets": whole(0, 2**31 - 1, format="int32"),
            "conditions": {**CONDITIONS, "default": pending("Accepted", "Programmed")},
            "listeners": listed(_LISTENER_STATUS, 64, key="name"),
        },
        default={"conditions": pending("Accepted", "Programmed")},
    )
    return fields({"spec": spec, "status": status}, "spec")


def listener_set_schema() -> Json:
    """Return the schema of ListenerSets."""
    spec = fields(
        {
            "parentRef": fields(PARENT_GATEWAY, "name"),
            "listeners": listed(_LISTENER, 64, 1, key="name"),
        },
        "listeners",
        "parentRef",
    )
    status = fields(
        {
            "conditions": {**CONDITIONS, "default": pending("Accepted", "Programmed")},
            "listeners": listed(_LISTENER_STATUS, 64, key="name"),
        },
        default={"conditions": pending("Accepted", "Programmed")},
    )
    return fields({"spec": spec, "status": status}, "spec")
