"""From one path of an object and its policy to the routes that serve it."""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.compile.policy import Policy
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.problem import Problem, Reason, Severity
from onehop.model.route import (
    Action,
    Forward,
    Guard,
    HeaderEdit,
    PathMatch,
    PoolShare,
    Redirect,
    Respond,
    Retry,
    Route,
)

UNVERIFIED: Final = Respond(status=403, body="this needs TLS and a client certificate\n")
BACKEND_MISSING: Final = Respond(status=503, body="the backend of this route is missing\n")
HTTP_CODE_KEEPING_THE_METHOD: Final = 308  # RFC 9110 section 15.4.9
HSTS_HEADER: Final = "strict-transport-security"


class ClientDemand(msgspec.Struct, frozen=True, gc=False):
    """What an Ingress asks of the clients of its hosts.

    Attributes:
        secret: holds the CA that certificates must chain to.
    """

    secret: ObjectRef
    is_required: bool


class Claim(msgspec.Struct, frozen=True):
    """A host and path that one object asks for.

    Attributes:
        plain: the route on the HTTP listener.
        secure: the route on the HTTPS listener; None where the host has no TLS by this object, but
            another object may give it TLS: then `plain` serves there too.
        client: what clients have to show.
    """

    hostname: str
    plain: Route
    secure: Route | None
    client: ClientDemand | None = None

    def route(self, *, tls: bool) -> Route:
        """Return the route for a listener."""
        return self.secure if tls and self.secure is not None else self.plain


def claim_route(  # noqa: PLR0913  what a path is made of, by name
    owner: ObjectRef,
    policy: Policy,
    *,
    hostname: str,
    match: PathMatch,
    pool: PoolId | None,
    is_tls: bool,
) -> Claim:
    """Return the claim on a host and path; without a pool its requests are answered 503."""
    action: Action = _forward(policy, pool) if pool is not None else BACKEND_MISSING
    plain = Route(
        id=f"{owner}:{hostname}:{match.kind}:{match.value}",
        owner=owner,
        match=match,
        action=action,
        guard=guard_of(policy),
        request_headers=HeaderEdit(
            set=policy.request_headers_set or (),
            add=policy.request_headers_add or (),
            remove=policy.request_headers_remove or (),
        ),
        response_headers=_response_headers(policy, ()),
    )
    client = client_demand(owner, policy)
    is_checked = client is not None and client.is_required
    if not is_tls:
        if is_checked:
            plain = msgspec.structs.replace(plain, action=UNVERIFIED)
        return Claim(hostname, plain, None, client)
    secure = plain
    if policy.hsts:
        hsts = ((HSTS_HEADER, policy.hsts),)
        secure = msgspec.structs.replace(plain, response_headers=_response_headers(policy, hsts))
        plain = msgspec.structs.replace(plain, response_headers=_without_hsts(policy))
    if policy.ssl_redirect or is_checked:
        redirect = Redirect(code=HTTP_CODE_KEEPING_THE_METHOD, scheme="https")
        plain = msgspec.structs.replace(plain, action=redirect)
    return Claim(hostname, plain, secure, client)


def asks_for_certificates(policy: Policy) -> bool:
    """Tell whether an object itself says that it wants certificates by ACME."""
    return policy.acme not in {None, "false"}


def guard_of(policy: Policy) -> Guard:
    """Return who may use the routes of an object, and how much."""
    limit = policy.rate_limit
    if limit is not None and policy.rate_limit_burst is not None:
        limit = msgspec.structs.replace(limit, burst=policy.rate_limit_burst)
    return Guard(
        allow=policy.allow_sources or (),
        deny=policy.deny_sources or (),
        body_limit_bytes=policy.body_limit,
        rate_limit=limit,
    )


def client_demand(owner: ObjectRef, policy: Policy) -> ClientDemand | None:
    """Return what a policy asks of clients, if it asks anything."""
    if policy.client_ca is None:
        return None
    secret = ObjectRef("Secret", owner.namespace, policy.client_ca)
    return ClientDemand(secret, policy.client_certificate != "optional")


def client_problems(owner: ObjectRef, policy: Policy) -> Iterator[Problem]:
    """Say that `client-certificate` means nothing alone, and `client-ca` all beside passthrough."""
    if policy.tls_passthrough and policy.client_ca is not None:
        yield Problem(
            subject=owner,
            field="metadata.annotations[onehop.dev/tls-passthrough]",
            reason=Reason.CONFLICT,
            message="onehop.dev/tls-passthrough: changes nothing beside onehop.dev/client-ca, for"
            " clients are verified where TLS ends; remove one of the two",
        )
    if policy.client_certificate is not None and policy.client_ca is None:
        yield Problem(
            subject=owner,
            field="metadata.annotations[onehop.dev/client-certificate]",
            reason=Reason.INVALID_ANNOTATION,
            message="onehop.dev/client-certificate: changes nothing without onehop.dev/client-ca,"
            " which names the CA that certificates must chain to",
            severity=Severity.WARNING,
        )


def tls_problems(
    owner: ObjectRef, policy: Policy, claims: tuple[Claim, ...]
) -> tuple[Problem, ...]:
    """Say which hosts cannot have the HTTPS that annotations count on."""
    wanted = {
        "client-ca": policy.client_ca,
        "ssl-redirect": policy.ssl_redirect,
        "hsts": policy.hsts,
        "acme": asks_for_certificates(policy) and not any(claim.secure for claim in claims),
    }
    asked = [name for name, value in wanted.items() if value]
    hosts = sorted({claim.hostname for claim in claims if claim.secure is None})
    if not asked or not hosts:
        return ()
    demand = client_demand(owner, policy)
    is_closed = demand is not None and demand.is_required
    without = "requests get 403" if is_closed else "it is served by plain HTTP"
    more = f" (and {len(hosts) - 1} more)" if len(hosts) > 1 else ""
    return tuple(
        Problem(
            subject=owner,
            field=f"metadata.annotations[onehop.dev/{name}]",
            reason=Reason.INVALID_ANNOTATION,
            message=f"onehop.dev/{name}: {hosts[0]}{more} has no TLS in this Ingress; add the"
            f" host to spec.tls. Until then {without}",
            severity=Severity.ERROR if is_closed else Severity.WARNING,
        )
        for name in asked
    )


def _forward(policy: Policy, pool: PoolId) -> Forward:
    plain = Forward(pools=(PoolShare(pool),))
    retry = Retry(
        attempts=plain.retry.attempts if policy.retries is None else policy.retries,
        codes=policy.retry_on or (),
        per_try_timeout_s=policy.retry_timeout,
    )
    return Forward(
        pools=plain.pools,
        rewrite_prefix=policy.rewrite_path,
        timeout_s=policy.request_timeout,
        idle_timeout_s=policy.idle_timeout or plain.idle_timeout_s,
        retry=retry,
    )


def _without_hsts(policy: Policy) -> HeaderEdit:
    """Return the edits of answers over plain HTTP, which must not say it (RFC 6797, 7.2)."""
    said = _response_headers(policy, ())
    return HeaderEdit(
        set=tuple(edit for edit in said.set if edit[0] != HSTS_HEADER),
        add=tuple(edit for edit in said.add if edit[0] != HSTS_HEADER),
        remove=tuple(dict.fromkeys((*said.remove, HSTS_HEADER))),
    )


def _response_headers(policy: Policy, always: tuple[tuple[str, str], ...]) -> HeaderEdit:
    return HeaderEdit(
        set=(*(policy.response_headers_set or ()), *always),
        add=policy.response_headers_add or (),
        remove=policy.response_headers_remove or (),
    )
