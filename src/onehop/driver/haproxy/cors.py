"""What pages of other origins may do with a route; the Fetch standard, "CORS protocol".

Who asks is in `txn.origin` if it is one that is let in. Preflights are answered here, and all
other answers to it, those of ours too, name it.
"""

import re
from collections.abc import Iterator

from onehop.driver.haproxy import word
from onehop.model.route import Cors

_PER_LINE = 40
"""Words of a line; HAProxy takes 64."""


def cors_rules(cors: Cors | None, name: str, when: str) -> Iterator[str]:
    """Yield the rules of a frontend.

    Args:
        cors: who may do what; None is nothing.
        name: of the policy.
        when: the condition of the policy.

    Raises:
        Unfit: something cannot be said to HAProxy.
    """
    if cors is None:
        return
    is_in = f"{when} {{ var(txn.origin) -m found }}"
    yield f"http-request set-var(txn.origin) req.fhdr(origin) {when}"
    if "*" not in cors.origins:
        yield from _origins(cors.origins, f"{name}-origin")
        yield f"http-request unset-var(txn.origin) {when} !{name}-origin"
    asks = "{ method OPTIONS } { req.fhdr(access-control-request-method) -m found }"
    yield f"http-request return status 200 {_preflight(cors)} {is_in} {asks}"
    is_same = "*" not in cors.origins or cors.credentials
    told = [("allow-origin", "'%[var(txn.origin)]'" if is_same else "*")]
    told += [("allow-credentials", "true")] if cors.credentials else []
    told += [("expose-headers", _joined(cors.exposed))] if cors.exposed else []
    for header, value in told:
        yield f"http-after-response set-header access-control-{header} {value} {is_in}"
    if is_same:
        # A cache must not give one page what was said to another ("CORS protocol and HTTP caches").
        yield f"http-after-response add-header vary origin {when}"


def _preflight(cors: Cors) -> str:
    """Return the headers of the answer; one whose value would be empty HAProxy leaves out."""
    asked = {"methods": "method", "headers": "headers"}
    said = [f"hdr access-control-max-age {int(cors.max_age_s)}"]
    for what, allowed in (("methods", cors.methods), ("headers", cors.headers)):
        echo = f"'%[req.fhdr(access-control-request-{asked[what]})]'"
        value = echo if allowed == ("*",) else _joined(allowed)
        said += [f"hdr access-control-allow-{what} {value}"] if allowed else []
    return " ".join(said)


def _joined(tokens: tuple[str, ...]) -> str:
    return word.quoted(word.literal(", ".join(tokens)))


def _origins(origins: tuple[str, ...], name: str) -> Iterator[str]:
    """Yield an ACL; lines of one name are added up."""
    exact = [word.quoted(word.origin(each)) for each in origins if "*" not in each]
    yield f"acl {name} always_false"
    for start in range(0, len(exact), _PER_LINE):
        listed = " ".join(exact[start : start + _PER_LINE])
        yield f"acl {name} var(txn.origin) -m str -- {listed}"
    for each in (word.origin(each) for each in origins if "*" in each):
        scheme, _, host = each.partition("://")
        pattern = f"^{scheme}://[^/:]+{re.escape(host.removeprefix('*'))}$"
        yield f"acl {name} var(txn.origin) -m reg -- {word.quoted(pattern)}"
