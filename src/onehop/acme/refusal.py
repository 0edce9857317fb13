"""What a CA says when it says no, in plain words and with advice.

A refusal is a value, not an exception: it is an answer, about somebody's host, and belongs where
the owner of that host looks. What a CA writes is text of strangers (it quotes what it found at the
host), so it is cut and cleaned before anybody sees it.
"""

from typing import Final

import msgspec

ACME_ERRORS: Final = "urn:ietf:params:acme:error:"
_LONGEST_DETAIL: Final = 500
_MOST_SUBPROBLEMS: Final = 100

ADVICE: Final = {
    "accountDoesNotExist": "nothing to do: a new account is made",
    "badCSR": "choose a key type that the CA accepts",
    "badPublicKey": "choose a key type that the CA accepts",
    "badSignatureAlgorithm": "the CA does not accept ECDSA P-256 account keys; use another CA",
    "caa": "let the host's CAA records name this CA, or remove them",
    "connection": "let the CA reach the host: port 80 for http-01, 443 for tls-alpn-01",
    "dns": "mend the host's DNS records: the CA could not resolve what it needs",
    "externalAccountRequired": "give the issuer the key id and HMAC key that the CA shows you",
    "incorrectResponse": "something else answers for the host: see where its DNS records point",
    "invalidContact": "mend the issuer's contact address",
    "invalidProfile": "choose a profile that the CA's directory lists",
    "malformed": "report this: the CA did not understand a request of onehop",
    "noSolver": "give the issuer a solver for this host; wildcards need dns-01",
    "rateLimited": "nothing to do but wait: it is tried again when the CA allows it",
    "rejectedIdentifier": "the CA does not issue for this host: remove it, or use another CA",
    "serverInternal": "nothing to do: it is tried again",
    "tls": "something else answers TLS for the host: see where its DNS records point",
    "unauthorized": "something else answers for the host: see where its DNS records point",
    "unsupportedContact": "mend the issuer's contact address",
    "unsupportedIdentifier": "the CA does not issue for such names: use another CA",
    "userActionRequired": "do what the CA asks for on the page it names",
}
"""What the owner can do about a type of error (RFC 8555, section 6.7)."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A CA's problem document (RFC 7807 with RFC 8555, section 6.7.1).

    Attributes:
        kind: what follows `urn:ietf:params:acme:error:`, or a whole URI of somebody else's.
        detail: the CA's words, printable and cut.
        host: whom it is about, empty if it is about the request.
        status: of the HTTP answer, 0 for an error inside an order or a challenge.
        retry_after_s: how long the CA wants to be left alone with this.
        location: what the CA points to, say the account that a key already has.
    """

    kind: str
    detail: str
    host: str = ""
    status: int = 0
    retry_after_s: float | None = None
    location: str = ""
    subproblems: tuple["Refusal", ...] = ()

    def __str__(self) -> str:
        about = f"{self.host}: " if self.host else ""
        inner = "".join(f"; {problem}" for problem in self.subproblems)
        return f"{about}{self.detail or 'no reason given'} ({self.kind}){inner}"

    @property
    def advice(self) -> str:
        """What the owner can do; that of the first subproblem with any, else its own."""
        for problem in self.subproblems:
            if problem.advice:
                return problem.advice
        return ADVICE.get(self.kind, "")

    @property
    def is_passing(self) -> bool:
        """Whether it says nothing against what was asked for, only against the moment."""
        return self.kind in {"rateLimited", "serverInternal"}

    def concerns(self, hosts: tuple[str, ...]) -> bool:
        """Tell whether the CA names one of the hosts or a domain above it, not us as a whole."""
        named = {problem.host for problem in self.subproblems}
        for host in hosts:
            plain = host.removeprefix("*.")
            if host in named or plain in named:
                return True
            labels = plain.split(".")
            above = (".".join(labels[at:]) for at in range(len(labels) - 1))
            if any(domain in self.detail for domain in above):
                return True
        return "exact set" in self.detail


class _Identifier(msgspec.Struct, frozen=True):
    value: str = ""


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An error on the wire."""

    type: str = "about:blank"
    detail: str = ""
    identifier: _Identifier | None = None
    subproblems: tuple["ProblemDocument", ...] = ()


def refusal_of(
    document: ProblemDocument,
    *,
    status: int = 0,
    retry_after_s: float | None = None,
    location: str = "",
    host: str = "",
) -> Refusal:
    """Return a problem document as what it says."""
    return Refusal(
        kind=printable(document.type).removeprefix(ACME_ERRORS),
        detail=printable(document.detail),
        host=printable(document.identifier.value) if document.identifier else host,
        status=status,
        retry_after_s=retry_after_s,
        location=location,
        subproblems=tuple(refusal_of(inner) for inner in document.subproblems[:_MOST_SUBPROBLEMS]),
    )


def printable(text: str) -> str:
    """Return a stranger's text on one line, without control characters, and cut."""
    line = " ".join(text.split())
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return clean if len(clean) <= _LONGEST_DETAIL else f"{clean[:_LONGEST_DETAIL]}…"
