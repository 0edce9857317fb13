"""What the `onehop.dev/*` annotations of one object ask for.

An annotation that is unknown or malformed is a Problem and changes nothing else; what says who may
come lets nobody in when it is malformed.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from onehop.compile.annotation import Said
from onehop.compile.options import ANNOTATION_PREFIX
from onehop.compile.vocabulary import ANNOTATIONS
from onehop.model.address import Cidr, IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem
from onehop.model.route import RateLimit


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parsed annotations; None is "not said". The field's name is the annotation's, with - as _."""

    addresses: tuple[IpAddr, ...] | None = None
    address_pool: str | None = None
    share_address: str | None = None
    path: str | None = None
    balancing: str | None = None
    persistence: str | None = None
    persistence_cookie: str | None = None
    persistence_cookie_path: str | None = None
    persistence_cookie_ttl: float | None = None
    persistence_cookie_secure: bool | None = None
    persistence_cookie_same_site: str | None = None
    persistence_header: str | None = None
    persistence_timeout: float | None = None
    health_check: str | None = None
    health_check_path: str | None = None
    health_check_host: str | None = None
    health_check_codes: tuple[tuple[int, int], ...] | None = None
    health_check_port: int | None = None
    health_check_interval: float | None = None
    health_check_timeout: float | None = None
    health_check_healthy_threshold: int | None = None
    health_check_unhealthy_threshold: int | None = None
    connect_timeout: float | None = None
    request_timeout: float | None = None
    idle_timeout: float | None = None
    retries: int | None = None
    retry_on: tuple[int, ...] | None = None
    retry_timeout: float | None = None
    backend_protocol: str | None = None
    backend_tls_ca: str | None = None
    backend_tls_name: str | None = None
    client_address: str | None = None
    proxy_protocol: str | None = None
    accept_proxy_protocol: bool | None = None
    client_ca: str | None = None
    client_certificate: str | None = None
    ssl_redirect: bool | None = None
    tls_passthrough: bool | None = None
    hsts: str | None = None
    acme: str | None = None
    acme_key_type: str | None = None
    request_headers_set: tuple[tuple[str, str], ...] | None = None
    request_headers_add: tuple[tuple[str, str], ...] | None = None
    request_headers_remove: tuple[str, ...] | None = None
    response_headers_set: tuple[tuple[str, str], ...] | None = None
    response_headers_add: tuple[tuple[str, str], ...] | None = None
    response_headers_remove: tuple[str, ...] | None = None
    rewrite_path: str | None = None
    allow_sources: tuple[Cidr, ...] | None = None
    deny_sources: tuple[Cidr, ...] | None = None
    body_limit: int | None = None
    connection_limit: int | None = None
    rate_limit: RateLimit | None = None
    rate_limit_burst: int | None = None

    def over(self, base: "Policy") -> "Policy":
        """Return this policy with what it does not say taken from `base`."""
        said = {
            name: said
            for name in self.__struct_fields__
            if (said := getattr(self, name)) is not None
        }
        return msgspec.structs.replace(base, **said) if said else base


def parse_policy(
    subject: ObjectRef, annotations: Mapping[str, str] | None, field: str = "metadata.annotations"
) -> tuple[Policy, tuple[Problem, ...]]:
    """Read an object's annotations: what they ask for, and what is wrong with them."""
    said: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, text in sorted((annotations or {}).items()):
        name = key.removeprefix(ANNOTATION_PREFIX)
        if name == key:
            continue
        known, here = ANNOTATIONS.get(name), Said(subject, key, text, field)
        if known is None or subject.kind not in known.on:
            problems.append(here.unknown(known, ANNOTATIONS))
            continue
        try:
            said[name.replace("-", "_")] = known.parse(text.strip())
        except ValueError as err:
            if known.otherwise is not None:
                said[name.replace("-", "_")] = known.otherwise
            problems.append(here.misunderstood(known, str(err)))
    return Policy(**said), tuple(problems)
