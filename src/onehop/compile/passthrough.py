"""TLS passthrough: what an Ingress with `onehop.dev/tls-passthrough` asks for.

The name that a client says in its first message (SNI, RFC 6066 section 3) is all that is seen of
such a connection. So a host has one backend, and whatever needs a look inside changes nothing; it
is told, for somebody counts on it. On plain HTTP a host is redirected to HTTPS, as there is nothing
else that could be done for its clients.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from onehop.cluster import Ingress
from onehop.cluster.ingress import IngressBackend, IngressRule
from onehop.compile.backend import resolve_stream
from onehop.compile.options import ANNOTATION_PREFIX
from onehop.compile.policy import Policy
from onehop.compile.rule import HTTP_CODE_KEEPING_THE_METHOD, Claim
from onehop.compile.sheet import Reader
from onehop.compile.wish import Wish, rung_problems
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import Passthrough
from onehop.model.problem import Problem, Reason, Severity, quoted
from onehop.model.route import PathKind, PathMatch, Redirect, Respond, Route

NO_PLAIN_HTTP: Final = Respond(status=404, body="this host speaks TLS only\n")
PASSED_THROUGH: Final = Respond(status=404, body="the TLS of this host does not end here\n")

_SEEN: Final = frozenset(
    (
        "tls_passthrough",
        "ssl_redirect",
        "allow_sources",
        "deny_sources",
        "path",
        "balancing",
        "persistence",
        "persistence_timeout",
        *(name for name in Policy.__struct_fields__ if name.startswith("health_check")),
        "connect_timeout",
        "idle_timeout",
        "proxy_protocol",
    )
)
"""Annotations that mean something for a stream of bytes."""


class Passed(msgspec.Struct, frozen=True):
    """What an Ingress asks for.

    Attributes:
        claims: what its hosts answer to plain HTTP.
    """

    hosts: tuple[Passthrough, ...]
    claims: tuple[Claim, ...]
    wishes: tuple[Wish, ...]
    problems: tuple[Problem, ...]


def pass_through(
    reader: Reader,
    ingress: Ingress,
    ref: ObjectRef,
    policy: Policy,
    hostname_of: Callable[[str, str], str | Problem],
) -> Passed:
    """Return what comes of an Ingress.

    Args:
        reader: for Services.
        ingress: one of ours.
        ref: its name.
        policy: its annotations.
        hostname_of: returns the host of a rule, given its text and field, or what is wrong with it.
    """
    walk = _Walk(reader, ingress, ref, policy)
    hosts: dict[str, Passthrough] = {}
    for number, rule in enumerate(ingress.spec.rules or ()):
        field = f"spec.rules[{number}]"
        hostname = hostname_of(rule.host, f"{field}.host")
        if isinstance(hostname, Problem):
            walk.problems.append(hostname)
        elif hostname == "*":
            walk.fault(
                f"{field}.host",
                Reason.UNSUPPORTED,
                "TLS is passed through by the name that clients ask for; name a host here",
            )
        elif hostname in hosts:
            message = f"{hostname} stands in an earlier rule, which counts"
            walk.fault(field, Reason.NOT_UNIQUE, message, Severity.WARNING)
        else:
            hosts[hostname] = walk.host(hostname, rule, field)
    walk.problems.extend(_without_effect(ingress, ref, policy))
    if ingress.spec.default_backend is not None and not walk.uses_default:
        message = "TLS passthrough has rules with hosts alone; this backend gets nothing"
        walk.fault("spec.defaultBackend", Reason.UNSUPPORTED, message, Severity.WARNING)
    return Passed(
        hosts=tuple(hosts[name] for name in sorted(hosts)),
        claims=tuple(_plain(ref, policy, hostname) for hostname in hosts),
        wishes=tuple(walk.wishes.values()),
        problems=tuple(walk.problems),
    )


def is_passed(claim: Claim) -> bool:
    """Tell whether a claim is what a host with passthrough answers to plain HTTP."""
    return claim.secure is not None and claim.secure.action == PASSED_THROUGH


def _plain(ref: ObjectRef, policy: Policy, hostname: str) -> Claim:
    """Return what a host answers to clients whose connection was not passed through."""
    plain = Route(
        id=f"{ref}:{hostname}:passthrough",
        owner=ref,
        match=PathMatch(PathKind.PREFIX, "/"),
        action=NO_PLAIN_HTTP
        if policy.ssl_redirect is False
        else Redirect(code=HTTP_CODE_KEEPING_THE_METHOD, scheme="https"),
    )
    return Claim(hostname, plain, msgspec.structs.replace(plain, action=PASSED_THROUGH))


class _Walk:
    """Goes through the rules once, gathering pools and faults."""

    def __init__(self, reader: Reader, ingress: Ingress, ref: ObjectRef, policy: Policy) -> None:
        self._reader = reader
        self._ingress = ingress
        self._ref = ref
        self._policy = policy
        self.uses_default = False
        self.problems: list[Problem] = []
        self.wishes: dict[PoolId, Wish] = {}

    def host(self, hostname: str, rule: IngressRule, field: str) -> Passthrough:
        """Return where the connections of a rule's host go."""
        plain = Passthrough(hostname=hostname, owner=self._ref, pool=None)
        found = self._backend(hostname, rule, field)
        return msgspec.structs.replace(
            plain,
            pool=self._pool(*found) if found is not None else None,
            idle_timeout_s=self._policy.idle_timeout or plain.idle_timeout_s,
            allow=self._policy.allow_sources or (),
            deny=self._policy.deny_sources or (),
        )

    def _backend(
        self, hostname: str, rule: IngressRule, field: str
    ) -> tuple[IngressBackend, str] | None:
        """Return the backend of a rule, and where it stands: that of `/`, or the default one."""
        default = self._ingress.spec.default_backend
        if rule.http is None and default is not None:
            self.uses_default = True
            return default, "spec.defaultBackend"
        chosen: tuple[IngressBackend, str] | None = None
        for index, path in enumerate(rule.http.paths if rule.http else ()):
            where = f"{field}.http.paths[{index}]"
            if path.path in ("", "/") and chosen is None:
                chosen = path.backend, f"{where}.backend"
            else:
                message = (
                    f"{quoted(path.path)}: paths are not seen where TLS is passed through; one"
                    " path, /, takes all, and this one takes nothing"
                )
                self.fault(where, Reason.UNSUPPORTED, message, Severity.WARNING)
        if chosen is None:
            message = f"no path / here, so connections for {hostname} are closed; add it"
            self.fault(f"{field}.http", Reason.INVALID_OBJECT, message)
        return chosen

    def _pool(self, backend: IngressBackend, field: str) -> PoolId | None:
        if backend.service is None:
            message = "only Services can be backends; connections are closed"
            self.fault(field, Reason.UNSUPPORTED, message)
            return None
        found = resolve_stream(self._reader, backend.service, self._policy, self._ref, field)
        if isinstance(found, Problem):
            self.problems.append(found)
            return None
        pool = found.wish.pool.id
        if pool not in self.wishes:
            self.wishes[pool] = found.wish
            self.problems.extend(rung_problems(found.wish, found.port, self._ref))
        return pool

    def fault(
        self, field: str, reason: Reason, message: str, severity: Severity = Severity.ERROR
    ) -> None:
        """Note what is wrong."""
        self.problems.append(
            Problem(
                subject=self._ref, field=field, reason=reason, message=message, severity=severity
            )
        )


def _without_effect(ingress: Ingress, ref: ObjectRef, policy: Policy) -> Iterator[Problem]:
    """Yield what is asked for in vain: it would need a look inside of TLS."""
    said = {name for name in policy.__struct_fields__ if getattr(policy, name) is not None}
    vain = said - _SEEN
    if policy.acme == "false":
        vain.discard("acme")
    if policy.persistence in ("cookie", "header"):
        vain.add("persistence")
    for name in sorted(vain):
        key = f"{ANNOTATION_PREFIX}{name.replace('_', '-')}"
        yield Problem(
            subject=ref,
            field=f"metadata.annotations[{key}]",
            reason=Reason.UNSUPPORTED,
            message=f"{key}: changes nothing beside {ANNOTATION_PREFIX}tls-passthrough, for nobody"
            " but the Pods looks inside of TLS",
            severity=Severity.WARNING,
        )
    for number, entry in enumerate(ingress.spec.tls or ()):
        if entry.secret_name:
            yield Problem(
                subject=ref,
                field=f"spec.tls[{number}].secretName",
                reason=Reason.UNSUPPORTED,
                message=f"{quoted(entry.secret_name)} is not shown to anybody: the TLS of this"
                " Ingress is passed through, and its Pods have the certificate",
                severity=Severity.WARNING,
            )
