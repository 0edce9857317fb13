"""What this host answers to CAs that look just now, by the Secret that all hosts share.

Whatever the Secret says becomes a route or a certificate only if it could be of ACME: the host is a
DNS name, token and body are made of base64url. All else in it is ignored, for nobody wrote it whom
one could tell; and who waits for the answer learns from `live_entries` that it is not there.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from onehop.cluster import Secret
from onehop.cluster.meta import Meta
from onehop.compile.backend import options_of
from onehop.compile.certificate import leaf_of, names_of, read_certificate
from onehop.compile.challenge import (
    TOKEN,
    AlpnChallenge,
    Challenge,
    HttpChallenge,
    decode_challenges,
    entry_of,
)
from onehop.compile.gateway.address import ALL_GATEWAY_WISHES
from onehop.compile.ingress import is_hostname
from onehop.compile.inputs import ONLY, SECRETS
from onehop.compile.sheet import Cell, Derived, Index, Reader, Sheet, Whole
from onehop.model.certificate import Certificate, challenge_certificate
from onehop.model.ident import ObjectRef

# RFC 8555, section 8.1: behind the token and a dot, the digest of the account's key in base64url.
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class HostAnswers(msgspec.Struct, frozen=True):
    """The challenges of one host, in a fixed order.

    Attributes:
        http: each token once.
        alpn: at most one, for a handshake can show one certificate. The others wait: they are not
            among `live_entries` until it is gone.
    """

    http: tuple[HttpChallenge, ...] = ()
    alpn: AlpnChallenge | None = None


def _compute(reader: Reader) -> Mapping[str, Cell[HostAnswers]]:
    options = options_of(reader)
    secret = reader.get(SECRETS, options.answers) if options.answers else None
    if secret is None or not (options.shared or reader.count(ALL_GATEWAY_WISHES, ONLY)):
        return {}
    challenges = sorted(decode_challenges(secret.data or {}), key=attrgetter("host"))
    return {
        host: Cell(_answers(group))
        for host, group in groupby(challenges, attrgetter("host"))
        if is_hostname(host) and not host.startswith("*")
    }


def _answers(challenges: Iterable[Challenge]) -> HostAnswers:
    http: dict[str, HttpChallenge] = {}
    alpn: AlpnChallenge | None = None
    for challenge in challenges:
        match challenge:
            case HttpChallenge() if _is_key_authorization(challenge):
                http.setdefault(challenge.token, challenge)
            case AlpnChallenge():
                alpn = alpn or challenge
            case _:
                pass
    return HostAnswers(tuple(http.values()), alpn)


def _is_key_authorization(challenge: HttpChallenge) -> bool:
    token, dot, thumbprint = challenge.body.partition(".")
    is_whole = token == challenge.token and bool(dot)
    return is_whole and bool(TOKEN.fullmatch(token) and _THUMBPRINT.fullmatch(thumbprint))


def _certificate(reader: Reader, host: str) -> Cell[Certificate]:
    """Return what the CA is shown; nothing if it is damaged, or is not for the host."""
    alpn = reader.need(ANSWERS, host).alpn
    assert alpn is not None  # noqa: S101  the domain is the hosts that have one
    pair = {"tls.crt": alpn.chain_pem.encode(), "tls.key": alpn.key_pem.encode()}
    ref = ObjectRef("Secret", "", host)  # as if it were one of its own
    secret = Secret(metadata=Meta(name=host), type="kubernetes.io/tls", data=pair)
    read = read_certificate(ref, secret)
    if not isinstance(read, Certificate) or not _shows(leaf_of(read), host):
        return Cell(None)
    return Cell(msgspec.structs.replace(read, id=challenge_certificate(host)))


def _shows(leaf: x509.Certificate, host: str) -> bool:
    """Tell whether a certificate is one of ours: of other keys, data planes may refuse some."""
    key = leaf.public_key()
    is_ours = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return is_ours and names_of(leaf) == frozenset((host,))


def live_entries(sheet: Sheet) -> frozenset[str]:
    """Return the names of the entries that are answered, for `challenge.entry_of` to compare."""
    answers = sheet.values(ANSWERS)
    shown = sheet.values(CHALLENGE_CERTIFICATES)
    http = (challenge for each in answers.values() for challenge in each.http)
    alpn = (answers[host].alpn for host in shown)
    return frozenset(entry_of(each) for each in (*http, *alpn) if each is not None)


ANSWERS: Final = Whole[str, HostAnswers]("answers", _compute)
HTTP_HOSTS: Final = Index[str, HostAnswers, str](
    ANSWERS, "http", lambda host, answers: (host,) if answers.http else ()
)
ALPN_HOSTS: Final = Index[str, HostAnswers, str](
    ANSWERS, "alpn", lambda host, answers: (host,) if answers.alpn else ()
)
CHALLENGE_CERTIFICATES: Final = Derived[str, Certificate](
    "challenge-certificates", _certificate, (ALPN_HOSTS,)
)
ALL_CHALLENGES: Final = Index[str, Certificate, tuple[()]](
    CHALLENGE_CERTIFICATES, "all", lambda _host, _certificate: (ONLY,)
)
