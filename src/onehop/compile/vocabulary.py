"""Every `onehop.dev/*` annotation there is: what it may hold, where it may stand, what it means.

Parsing, error messages and the manual (docs/annotations.md) all come from this table; what is
parsed stands in a `Policy`.
"""

from typing import Final

from onehop.compile import value
from onehop.compile.annotation import ROUTES, WITH_BACKENDS, Annotation
from onehop.model.address import Cidr
from onehop.model.certificate import KEY_TYPES

_SERVICE: Final = frozenset(("Service",))
_INGRESS: Final = frozenset(("Ingress",))
_ADDRESSED: Final = frozenset(("Service", "Gateway"))
_CERTIFIED: Final = frozenset(("Ingress", "Gateway", "ListenerSet"))
_REQUESTS: Final = frozenset(("Ingress", "HTTPRoute", "GRPCRoute"))
_CALLS: Final = _REQUESTS - {"HTTPRoute"}  # which says it by `timeouts`
_CLASSIC: Final = WITH_BACKENDS - ROUTES  # where Gateway API has a field, or an object, for it
_HALF_DAY_S: Final = 43200.0
_NOBODY: Final = (Cidr("255.255.255.255/32"),)
"""The limited broadcast address, which no packet comes from (RFC 1122, section 3.2.1.3)."""
_EVERYBODY: Final = (Cidr("0.0.0.0/0"), Cidr("::/0"))
_LETS_NOBODY_IN: Final = "lets nobody in"


ANNOTATIONS: Final[dict[str, Annotation]] = {
    "addresses": Annotation(
        parse=value.addresses,
        example="203.0.113.20,2001:db8::20",
        means="the addresses a Service wants; before spec.loadBalancerIP, which knows one family",
        on=_SERVICE,
    ),
    "address-pool": Annotation(
        parse=value.object_name,
        example="public",
        means="the address pool of onehop.yaml to take an address from",
        on=_ADDRESSED,
    ),
    "share-address": Annotation(
        parse=value.token,
        example="dns",
        means="Services and Gateways with the same value and different ports may share one address",
        on=_ADDRESSED,
    ),
    "path": Annotation(
        parse=value.one_of("auto", "pod", "local", "node"),
        example="pod",
        means="how endpoints are reached: past kube-proxy, by NodePorts of nodes with Pods, or any",
    ),
    "balancing": Annotation(
        parse=value.one_of("least-request", "round-robin", "hash"),
        example="round-robin",
        means="who gets the next request; hash is by the client's address",
    ),
    "persistence": Annotation(
        parse=value.one_of("none", "cookie", "header", "source-ip"),
        example="cookie",
        means="what binds a client to an endpoint; cookie and header work for HTTP only",
    ),
    "persistence-cookie": Annotation(
        parse=value.token,
        example="route",
        means="the cookie's name; onehop by default",
        on=_REQUESTS,
    ),
    "persistence-cookie-path": Annotation(
        parse=value.url_path, example="/shop", means="the cookie's Path; / by default", on=_REQUESTS
    ),
    "persistence-cookie-ttl": Annotation(
        parse=value.duration(1, 31536000),
        example="1h",
        means="the cookie's Max-Age; without, it ends with the browser",
        on=_REQUESTS,
    ),
    "persistence-cookie-secure": Annotation(
        parse=value.boolean, example="true", means="the cookie's Secure attribute", on=_REQUESTS
    ),
    "persistence-cookie-same-site": Annotation(
        parse=value.one_of("Strict", "Lax", "None"), example="Lax", means="SameSite", on=_REQUESTS
    ),
    "persistence-header": Annotation(
        parse=value.header_name,
        example="x-session",
        means="the header that binds a client; the answer carries its value",
        on=_REQUESTS,
    ),
    "persistence-timeout": Annotation(
        parse=value.duration(1, 86400),
        example="3h",
        means="how long source-ip persistence lasts, where the data plane keeps a table",
    ),
    "health-check": Annotation(
        parse=value.one_of("none", "tcp", "http"),
        example="http",
        means="an active check by the load balancer, besides the kubelet's readiness",
    ),
    "health-check-path": Annotation(
        parse=value.url_path, example="/healthz", means="what an http check asks for; / by default"
    ),
    "health-check-host": Annotation(
        parse=value.hostname, example="shop.example.com", means="the Host of an http check"
    ),
    "health-check-codes": Annotation(
        parse=value.codes, example="200-299", means="codes that mean healthy; 200-399 by default"
    ),
    "health-check-port": Annotation(
        parse=value.integer(1, 65535), example="8081", means="where to check, if not the own port"
    ),
    "health-check-interval": Annotation(
        parse=value.duration(1, 3600), example="10s", means="between two checks; 5s by default"
    ),
    "health-check-timeout": Annotation(
        parse=value.duration(0.1, 600), example="2s", means="for one check; 2s by default"
    ),
    "health-check-healthy-threshold": Annotation(
        parse=value.integer(1, 100), example="2", means="good checks in a row until it is up; 1"
    ),
    "health-check-unhealthy-threshold": Annotation(
        parse=value.integer(1, 100), example="3", means="bad checks in a row until it is down; 3"
    ),
    "connect-timeout": Annotation(
        parse=value.duration(0.01, 600), example="2s", means="to open a connection; 2s by default"
    ),
    "request-timeout": Annotation(
        parse=value.duration(0.01, _HALF_DAY_S),
        example="60s",
        means="for a whole response; without, as long as bytes flow",
        on=_CALLS,
    ),
    "idle-timeout": Annotation(
        parse=value.duration(0.1, _HALF_DAY_S),
        example="5m",
        means="longest silence on a stream (5m), a TCP connection (1h), a UDP flow (1m)",
    ),
    "retries": Annotation(
        parse=value.integer(0, 10),
        example="2",
        means="further attempts, on other endpoints, of what was never sent; 1 by default",
        on=_REQUESTS,
    ),
    "retry-on": Annotation(
        parse=value.code_list, example="502,503", means="codes to try again as well", on=_REQUESTS
    ),
    "retry-timeout": Annotation(
        parse=value.duration(0.01, _HALF_DAY_S),
        example="5s",
        means="for one attempt; without, only request-timeout counts",
        on=_CALLS,
    ),
    "backend-protocol": Annotation(
        parse=value.one_of("http", "h2c", "https", "grpc", "grpcs"),
        example="h2c",
        means="what endpoints speak; before appProtocol. https and grpcs are TLS to the endpoint",
        on=_CLASSIC,
    ),
    "backend-tls-ca": Annotation(
        parse=value.object_name,
        example="shop-ca",
        means="a Secret whose ca.crt the endpoints' certificates must chain to",
        on=_CLASSIC,
    ),
    "backend-tls-name": Annotation(
        parse=value.hostname,
        example="shop.internal",
        means="the name in the endpoints' certificates, also sent as SNI",
        on=_CLASSIC,
    ),
    "client-address": Annotation(
        parse=value.one_of("snat", "proxy-protocol", "transparent"),
        example="transparent",
        means="what endpoints of a Service's own ports see: this host's address, the client's in a"
        " PROXY header (v2), or the client's own as the source",
        on=_SERVICE,
    ),
    "proxy-protocol": Annotation(
        parse=value.one_of("none", "v1", "v2"),
        example="v2",
        means="the PROXY header sent to endpoints, so that they see the client's address",
        on=WITH_BACKENDS - {"UDPRoute"},
    ),
    "accept-proxy-protocol": Annotation(
        parse=value.boolean,
        example="true",
        means="clients' connections begin with a PROXY header; others are refused",
        on=_ADDRESSED,
    ),
    "client-ca": Annotation(
        parse=value.object_name,
        example="staff-ca",
        means="a Secret whose ca.crt clients' certificates must chain to, on the hosts of the"
        " Ingress; plain HTTP is redirected",
        on=_INGRESS,
        otherwise="",  # no Secret has this name
        effect=f"{_LETS_NOBODY_IN}: requests get 403",
    ),
    "client-certificate": Annotation(
        parse=value.one_of("required", "optional"),
        example="optional",
        means="with client-ca: whether a client must show a certificate (the default) or may",
        on=_INGRESS,
    ),
    "ssl-redirect": Annotation(
        parse=value.boolean,
        example="true",
        means="answer plain HTTP for hosts with TLS by a redirect to HTTPS (308)",
        on=_INGRESS,
    ),
    "tls-passthrough": Annotation(
        parse=value.boolean,
        example="true",
        means="TLS of the Ingress's hosts goes to the Pods as it is, by the name that clients ask"
        " for (SNI); plain HTTP is redirected, unless ssl-redirect is false",
        on=_INGRESS,
    ),
    "hsts": Annotation(
        parse=value.hsts,
        example="max-age=31536000; includeSubDomains",
        means="Strict-Transport-Security on HTTPS answers (RFC 6797)",
        on=_INGRESS,
    ),
    "acme": Annotation(
        parse=value.issuer,
        example="letsencrypt",
        means="who issues the certificates of spec.tls, or of listeners, by ACME: an issuer of"
        " onehop.yaml, the default one (true), or nobody (false); on a class, for those that do"
        " not say",
        on=_CERTIFIED | {"IngressClass", "GatewayClass"},
    ),
    "acme-key-type": Annotation(
        parse=value.one_of(*KEY_TYPES),
        example="ecdsa-p384",
        means="the kind of key of certificates that are ordered; without, what the issuer says",
        on=_CERTIFIED,
    ),
    "request-headers-set": Annotation(
        parse=value.headers,
        example="X-Env: prod",
        means="headers set on requests, one 'Name: value' a line; what a client sent is replaced",
        on=_INGRESS,
    ),
    "request-headers-add": Annotation(
        parse=value.headers, example="X-Via: onehop", means="headers added to requests", on=_INGRESS
    ),
    "request-headers-remove": Annotation(
        parse=value.header_names,
        example="X-Debug,X-Trace",
        means="headers taken off requests",
        on=_INGRESS,
    ),
    "response-headers-set": Annotation(
        parse=value.headers,
        example="X-Frame-Options: DENY",
        means="headers set on answers, one 'Name: value' a line",
        on=_INGRESS,
    ),
    "response-headers-add": Annotation(
        parse=value.headers, example="X-Served: yes", means="headers added to answers", on=_INGRESS
    ),
    "response-headers-remove": Annotation(
        parse=value.header_names, example="Server", means="headers taken off answers", on=_INGRESS
    ),
    "rewrite-path": Annotation(
        parse=value.url_path,
        example="/api/v2",
        means="what the matched part of the path is replaced by",
        on=_INGRESS,
    ),
    "allow-sources": Annotation(
        parse=value.cidrs,
        example="10.0.0.0/8,2001:db8::/32",
        means="client networks that are let in; others get 403, and of streams no connection",
        on=_INGRESS | ROUTES,
        otherwise=_NOBODY,
        effect=_LETS_NOBODY_IN,
    ),
    "deny-sources": Annotation(
        parse=value.cidrs,
        example="192.0.2.0/24",
        means="client networks that get 403, though allowed",
        on=_REQUESTS | {"TLSRoute"},
        otherwise=_EVERYBODY,
        effect=_LETS_NOBODY_IN,
    ),
    "body-limit": Annotation(
        parse=value.size,
        example="8m",
        means="the largest request body; beyond: 413",
        on=_REQUESTS - {"GRPCRoute"},  # a stream of messages would be held until it ends
    ),
    "connection-limit": Annotation(
        parse=value.integer(1, 10_000_000),
        example="1000",
        means="connections at once: of clients to a Service's port, or to the others' endpoints",
        on=_CLASSIC | _REQUESTS,
    ),
    "rate-limit": Annotation(
        parse=value.rate, example="100/s", means="requests of a client; beyond: 429", on=_REQUESTS
    ),
    "rate-limit-burst": Annotation(
        parse=value.integer(0, 1_000_000),
        example="50",
        means="requests above rate-limit that a client may make at once after a pause",
        on=_REQUESTS,
    ),
}
