"""Where a request is sent on to: another path for the application, another URL for the client."""

from collections.abc import Iterator
from typing import Final

from onehop.driver.haproxy import word
from onehop.model.route import PathKind, PathMatch, Redirect

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_CODES: Final = (301, 302, 303, 307, 308)
_REST: Final = "%[pathq]"


def path_rules(whole: str | None, prefix: str | None, match: PathMatch, when: str) -> Iterator[str]:
    """Yield the rules that replace the whole path, or what matched; the query stays."""
    if whole is not None:
        yield _set_path(word.literal(word.path(whole)), when)
    elif prefix is not None:
        yield from _prefix_rules(prefix, match, when)


def host_rule(host: str, when: str) -> str:
    """Return the rule that has endpoints see another host.

    Raises:
        Unfit: it is none, or has a `*`.
    """
    return f"http-request set-header host {word.quoted(_host(host))} {when}"


def _prefix_rules(replacement: str, match: PathMatch, when: str) -> Iterator[str]:
    """Yield the rules that put `replacement` in place of what matched.

    ============ ========= =============== ===================
    match        becomes   `/foo` gives    `/foo/bar` gives
    ============ ========= =============== ===================
    prefix /foo  /new      /new            /new/bar
    prefix /foo  /         /               /bar
    prefix /     /new      /new/foo        /new/foo/bar
    exact /foo   /new      /new
    ============ ========= =============== ===================
    """
    if match.kind is not PathKind.PREFIX:
        yield _set_path(word.literal(word.path(replacement or "/")), when)
        return
    base = word.literal(word.path(replacement or "/").rstrip("/"))
    if match.value == "/":
        yield _set_path(f"{base}%[path]", when)
        return
    length = len(word.path(match.value))
    is_whole = f"{{ path,length eq {length} }}"
    yield f"http-request set-var(txn.rest) path,bytes({length}) {when} !{is_whole}"
    yield _set_path(f"{base}%[var(txn.rest)]", f"{when} !{is_whole}")
    yield _set_path(base or "/", f"{when} {is_whole} !{{ var(txn.rest) -m found }}")


def redirect_rules(
    redirect: Redirect, match: PathMatch, when: str, *, is_tls: bool
) -> Iterator[str]:
    """Yield the rules of a redirect; what it does not say stays as the client asked it.

    The path is replaced as for an endpoint, and the client is told what has become of it. A default
    port is not written into the Location (`https://a.example/`, not `...:443/`), and a client's
    port goes where it was the default of the scheme that is left, or with the client's host.
    """
    if redirect.code not in _CODES:
        raise word.Unfit(f"{redirect.code} is not a redirect")
    own = "https" if is_tls else "http"
    scheme = own if redirect.scheme is None else redirect.scheme
    if scheme not in _DEFAULT_PORT:
        raise word.Unfit(f"{scheme[:20]!a} is not http or https")
    if redirect.host is not None:
        is_said = redirect.port not in {None, _DEFAULT_PORT[scheme]}
        host = _host(redirect.host) + (f":{redirect.port}" if is_said else "")
    elif redirect.port is None:
        host = f"%[req.hdr(host),regsub(:{_DEFAULT_PORT[own]}$,)]"
    elif redirect.port == _DEFAULT_PORT[scheme]:
        host = "%[var(txn.host)]"
    else:
        host = f"%[var(txn.host)]:{int(redirect.port)}"
    yield from path_rules(redirect.path, redirect.prefix, match, when)
    location = word.quoted(f"{scheme}://{host}{_REST}")
    yield f"http-request redirect code {redirect.code} location {location} {when}"


def _host(text: str) -> str:
    if text.startswith("*"):
        raise word.Unfit(f"{text[:80]!a} is not the name of one host")
    return word.literal(word.host(text))


def _set_path(log_format: str, when: str) -> str:
    return f"http-request set-path {word.quoted(log_format)} {when}"
