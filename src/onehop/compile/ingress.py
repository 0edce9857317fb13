"""An Ingress: is it ours, and which hosts, paths and certificates does it claim?

A claim is what this object alone asks for; who wins a path that several claim is decided per
host, in `host`.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from onehop.cluster import Ingress, IngressClass
from onehop.cluster.ingress import HttpPath, IngressBackend
from onehop.compile.backend import Resolved, ca_ref, options_of, resolve_backend
from onehop.compile.challenge import CHALLENGE_PATH, TOKEN
from onehop.compile.inputs import (
    CLASS_DEFAULTS,
    INGRESS_CLASSES,
    INGRESS_REFS,
    INGRESSES,
    ONLY,
)
from onehop.compile.options import Options
from onehop.compile.passthrough import pass_through
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.rule import (
    Claim,
    ClientDemand,
    claim_route,
    client_demand,
    client_problems,
    tls_problems,
)
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.value import is_object_name
from onehop.compile.wish import Wish, rung_problems
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import Passthrough
from onehop.model.problem import Problem, Reason, Severity, quoted
from onehop.model.route import PathKind, PathMatch

CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
ANY_HOST: Final = "*"
SOLVER_LABEL: Final = "acme.cert-manager.io/http01-solver"

_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}$)(\*\.)?{_LABEL}(\.{_LABEL})*")
_IP_LIKE: Final = re.compile(r"[0-9.]+")
# RFC 3986 pchar and "/"; an escape must be whole, and must not hide a slash or a NUL.
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%(?!00|2[fF])[0-9A-Fa-f]{2}){0,2047}")


class TlsClaim(msgspec.Struct, frozen=True, gc=False):
    """A host, and the Secret whose certificate it shall show."""

    hostname: str
    secret: ObjectRef
    field: str


class IngressIntent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an Ingress of ours asks for.

    Attributes:
        solved: the paths where cert-manager answers a CA; none of them is among `claims`.
        default: what takes requests that no rule takes, or None.
        wishes: the pools its routes need.
        client: what its clients have to show.
        passthroughs: hosts whose TLS shall not end here, sorted by name.
    """

    ref: ObjectRef
    age_key: tuple[str, str, str]
    claims: tuple[Claim, ...]
    solved: tuple[Claim, ...] = ()
    tls: tuple[TlsClaim, ...]
    default: Claim | None
    wishes: tuple[Wish, ...]
    ca_secrets: tuple[ObjectRef, ...]
    client: ClientDemand | None = None
    passthroughs: tuple[Passthrough, ...] = ()


def is_hostname(text: str) -> bool:
    """Tell whether text is a DNS name in lower case, or one with `*.` in front (RFC 1123)."""
    return bool(_HOST.fullmatch(text)) and not _IP_LIKE.fullmatch(text)


def is_path(text: str) -> bool:
    """Tell whether a path can be asked for at all: requests are normalised before they are matched.

    It begins with /, and has no query, no //, no . or .. element and no escaped slash.
    """
    return bool(_PATH.fullmatch(text)) and "//" not in text and not {".", ".."} & {*text.split("/")}


def is_solved(ingress: Ingress, hostname: str, match: PathMatch) -> bool:
    """Tell whether a path is one where cert-manager answers a CA.

    cert-manager makes an Ingress for each challenge, with this label, and deletes it afterwards
    (cert-manager.io, "HTTP01"). The label moves nothing but one token of one host.
    """
    if ingress.metadata.label(SOLVER_LABEL) != "true" or hostname.startswith("*"):
        return False
    is_challenge = match.value.startswith(CHALLENGE_PATH)
    return is_challenge and bool(TOKEN.fullmatch(match.value.removeprefix(CHALLENGE_PATH)))


def _read_host(ref: ObjectRef, text: str, field: str) -> str | Problem:
    """Return the host that a rule or an entry of spec.tls means, or what is wrong with it."""
    if not text:
        return ANY_HOST
    if is_hostname(text):
        return text
    return Problem(
        subject=ref,
        field=field,
        reason=Reason.INVALID_HOST,
        message=f"{quoted(text)}: a host is a DNS name in lower case, without port, or one with"
        " *. in front (RFC 1123)",
    )


def is_ours(reader: Reader, ingress: Ingress) -> tuple[bool, tuple[Problem, ...]]:
    """Tell whether an Ingress is of a class of ours.

    The deprecated annotation wins over `spec.ingressClassName`, as that field's API documentation
    demands. Without either, the default class decides; of several defaults, the newest one.
    """
    found = class_of(reader, ingress)
    if found is None or found.spec.controller != options_of(reader).ingress_controller:
        return False, ()
    annotation = ingress.metadata.annotation(CLASS_ANNOTATION)
    field = ingress.spec.ingress_class_name
    if annotation and field and annotation != field:
        return True, (_class_disagrees(ingress, annotation, field),)
    return True, ()


def class_of(reader: Reader, ingress: Ingress) -> IngressClass | None:
    """Return the class of an Ingress, ours or not, or None if it has none that exists."""
    name = ingress.metadata.annotation(CLASS_ANNOTATION) or ingress.spec.ingress_class_name
    if name:
        return reader.get(INGRESS_CLASSES, ObjectRef("IngressClass", "", name))
    defaults = reader.where(CLASS_DEFAULTS, ONLY)
    # `where` orders by name, and max keeps the first of equals: the newest, then the first by name.
    return max(defaults, key=lambda item: item.metadata.creation_timestamp, default=None)


def _class_disagrees(ingress: Ingress, annotation: str, field: str) -> Problem:
    return Problem(
        subject=ObjectRef("Ingress", ingress.metadata.namespace, ingress.metadata.name),
        field=f"metadata.annotations[{CLASS_ANNOTATION}]",
        reason=Reason.NOT_UNIQUE,
        message=f"the annotation says {quoted(annotation)} and spec.ingressClassName"
        f" {quoted(field)}; the annotation counts; remove it",
        severity=Severity.WARNING,
    )


def _compute(reader: Reader, ref: ObjectRef) -> Cell[IngressIntent]:
    ingress, options = reader.get(INGRESSES, ref), options_of(reader)
    if ingress is None or ingress.metadata.deletion_timestamp is not None:
        return Cell(None)
    ours, class_problems = is_ours(reader, ingress)
    if not ours:
        return Cell(None)
    policy, problems = parse_policy(ref, ingress.metadata.annotations)
    if policy.tls_passthrough and policy.client_ca is None:
        told = (*class_problems, *problems, *_no_vip(options, ref))
        return _passed_through(reader, ingress, policy, told)
    builder = _Builder(reader, ingress, ref, policy)
    every = tuple(builder.claims())
    solved = tuple(each for each in every if is_solved(ingress, each.hostname, each.plain.match))
    claims = tuple(each for each in every if each not in solved) if solved else every
    default = builder.default()
    client = client_demand(ref, policy)
    cas = (ca_ref(policy, ref.namespace), client.secret if client else None)
    intent = IngressIntent(
        ref=ref,
        age_key=ingress.metadata.age_key,
        claims=claims,
        solved=solved,
        tls=builder.tls,
        default=default,
        wishes=tuple(builder.wishes.values()),
        ca_secrets=tuple(secret for secret in cas if secret and secret.name),
        client=client,
    )
    served = (*claims, default) if default else claims
    faults = (*class_problems, *problems, *builder.problems, *tls_problems(ref, policy, served))
    faults = (*faults, *client_problems(ref, policy))
    return Cell(intent, (*faults, *_no_vip(options, ref)))


def _passed_through(
    reader: Reader, ingress: Ingress, policy: Policy, told: tuple[Problem, ...]
) -> Cell[IngressIntent]:
    """Return an Ingress whose hosts' TLS does not end here; see `passthrough`."""
    ref = ObjectRef("Ingress", ingress.metadata.namespace, ingress.metadata.name)
    passed = pass_through(reader, ingress, ref, policy, partial(_read_host, ref))
    intent = IngressIntent(
        ref=ref,
        age_key=ingress.metadata.age_key,
        claims=passed.claims,
        tls=(),
        default=None,
        wishes=passed.wishes,
        ca_secrets=(),
        passthroughs=passed.hosts,
    )
    return Cell(intent, (*told, *passed.problems))


def _no_vip(options: Options, ref: ObjectRef) -> Iterator[Problem]:
    if not options.shared:
        yield Problem(
            subject=ref,
            reason=Reason.NO_ADDRESS_POOL,
            message="onehop.yaml has no addresses.shared, so Ingresses are served nowhere; set it",
        )


class _Builder:
    """Walks one Ingress once, gathering claims, pools and faults."""

    def __init__(self, reader: Reader, ingress: Ingress, ref: ObjectRef, policy: Policy) -> None:
        self._reader = reader
        self._ingress = ingress
        self._ref = ref
        self._policy = policy
        self.problems: list[Problem] = []
        self.wishes: dict[PoolId, Wish] = {}
        self.tls = tuple(self._tls())

    def claims(self) -> Iterator[Claim]:
        """Yield a claim for each good path of each good rule."""
        for number, rule in enumerate(self._ingress.spec.rules or ()):
            field = f"spec.rules[{number}]"
            hostname = self._hostname(rule.host, f"{field}.host")
            if hostname is None:
                continue
            if rule.http is None and self._ingress.spec.default_backend is None:
                self._fault(
                    f"{field}.http", Reason.INVALID_OBJECT, "a rule without paths takes no request"
                )
            for index, path in enumerate(rule.http.paths if rule.http else ()):
                claim = self._claim(hostname, path, f"{field}.http.paths[{index}]")
                if claim is not None:
                    yield claim

    def default(self) -> Claim | None:
        """Return the claim on what nobody takes, or None."""
        backend = self._ingress.spec.default_backend
        if backend is None:
            return None
        match = PathMatch(PathKind.PREFIX, "/")
        return self._to_backend(
            ANY_HOST, match, backend, "spec.defaultBackend", is_tls=self._has_tls(ANY_HOST)
        )

    def _claim(self, hostname: str, path: HttpPath, field: str) -> Claim | None:
        match = self._match(path, field)
        if match is None:
            return None
        is_tls = self._has_tls(hostname)
        if is_solved(self._ingress, hostname, match):
            # This one path and no more, and never a redirect.
            match, is_tls = PathMatch(PathKind.EXACT, match.value), False
        return self._to_backend(hostname, match, path.backend, f"{field}.backend", is_tls=is_tls)

    def _to_backend(
        self, hostname: str, match: PathMatch, backend: IngressBackend, field: str, *, is_tls: bool
    ) -> Claim:
        pool: PoolId | None = None
        if backend.service is None:
            self._fault(
                field,
                Reason.UNSUPPORTED,
                "only Services can be backends; requests get 503",
            )
        else:
            found = resolve_backend(self._reader, backend.service, self._policy, self._ref, field)
            if isinstance(found, Problem):
                self.problems.append(found)
            else:
                pool = found.wish.pool.id
                self._add_wish(found)
        return claim_route(
            self._ref, self._policy, hostname=hostname, match=match, pool=pool, is_tls=is_tls
        )

    def _add_wish(self, found: Resolved) -> None:
        if found.wish.pool.id not in self.wishes:
            self.wishes[found.wish.pool.id] = found.wish
            self.problems.extend(rung_problems(found.wish, found.port, self._ref))

    def _match(self, path: HttpPath, field: str) -> PathMatch | None:
        """Return how a path matches (Ingress v1, "Path types"), or None if it cannot."""
        text = path.path or ("/" if path.path_type != "Exact" else "")
        if not is_path(text):
            self._fault(
                f"{field}.path",
                Reason.INVALID_PATH,
                f"{quoted(text)}: a path begins with /, has no query, no //, no . or .. element"
                " and no escaped slash; requests are normalised so, and it would never match",
            )
            return None
        match path.path_type:
            case "Exact":
                return PathMatch(PathKind.EXACT, text)
            case "Prefix" | "ImplementationSpecific" | None:
                return PathMatch(PathKind.PREFIX, text.rstrip("/") or "/")
            case _:
                self._fault(
                    f"{field}.pathType",
                    Reason.INVALID_PATH,
                    f"{quoted(path.path_type)}: allowed is Exact | Prefix |"
                    " ImplementationSpecific (here the same as Prefix)",
                )
                return None

    def _hostname(self, text: str, field: str) -> str | None:
        found = _read_host(self._ref, text, field)
        if isinstance(found, Problem):
            self.problems.append(found)
            return None
        return found

    def _tls(self) -> Iterator[TlsClaim]:
        for number, entry in enumerate(self._ingress.spec.tls or ()):
            field = f"spec.tls[{number}]"
            hosts = entry.hosts or tuple(r.host for r in self._ingress.spec.rules or ()) or ("",)
            secret = self._certificate(entry.secret_name)
            if secret is None:
                self._fault(
                    f"{field}.secretName",
                    Reason.CERTIFICATE_NOT_FOUND,
                    f"{quoted(entry.secret_name)} names no Secret; name one of this namespace, of"
                    " type kubernetes.io/tls (with onehop.dev/acme it need not exist yet)",
                )
                continue
            for host in dict.fromkeys(hosts):
                hostname = self._hostname(host, f"{field}.hosts")
                if hostname is not None:
                    yield TlsClaim(hostname, secret, field)

    def _certificate(self, name: str) -> ObjectRef | None:
        """Return the Secret of this name; without a name, the operator's default, if any."""
        if not name:
            return options_of(self._reader).default_certificate
        return ObjectRef("Secret", self._ref.namespace, name) if is_object_name(name) else None

    def _has_tls(self, hostname: str) -> bool:
        if hostname == ANY_HOST:
            return bool(self.tls)
        shown = (hostname, f"*.{hostname.partition('.')[2]}", ANY_HOST)
        return any(claim.hostname in shown for claim in self.tls)

    def _fault(self, field: str, reason: Reason, message: str) -> None:
        self.problems.append(
            Problem(subject=self._ref, field=field, reason=reason, message=message)
        )


INGRESS_INTENTS: Final = Derived[ObjectRef, IngressIntent](
    "ingress-intents", _compute, (INGRESS_REFS,)
)
INGRESS_WISHES: Final = Index[ObjectRef, IngressIntent, PoolId](
    INGRESS_INTENTS, "pool", lambda _, intent: [wish.pool.id for wish in intent.wishes]
)
CLAIMS_BY_HOST: Final = Index[ObjectRef, IngressIntent, str](
    INGRESS_INTENTS, "host", lambda _, intent: {claim.hostname for claim in intent.claims}
)
SOLVED_HOSTS: Final = Index[ObjectRef, IngressIntent, str](
    INGRESS_INTENTS, "solved-host", lambda _, intent: {claim.hostname for claim in intent.solved}
)
DEFAULT_CLAIMS: Final = Index[ObjectRef, IngressIntent, tuple[()]](
    INGRESS_INTENTS, "default", lambda _, intent: (ONLY,) if intent.default else ()
)
TLS_BY_HOST: Final = Index[ObjectRef, IngressIntent, str](
    INGRESS_INTENTS, "tls-host", lambda _, intent: {claim.hostname for claim in intent.tls}
)
SECRETS_WANTED: Final = Index[ObjectRef, IngressIntent, ObjectRef](
    INGRESS_INTENTS,
    "secret",
    lambda _, intent: {*(claim.secret for claim in intent.tls), *intent.ca_secrets},
)
TLS_SECRETS: Final = Index[ObjectRef, IngressIntent, ObjectRef](
    INGRESS_INTENTS, "tls-secret", lambda _, intent: {claim.secret for claim in intent.tls}
)
