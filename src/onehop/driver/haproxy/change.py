"""From what a worker has to what it shall have: why it must be reloaded, or what it is told.

A reload is needed for what the runtime API cannot make:

* a section that is new or reads otherwise: a listener, a pool, the table of a rate limit;
* a policy that no section knows yet (`policy`), a choice (`choice`), or a wildcard with as many
  labels as none had;
* a list of certificates whose hosts ask for clients' certificates;
* a certificate that is too long for one command, or what its CA says of it.

What merely *went* needs none: nothing points at it, and the next reload drops it. Only a listener
that goes must go, for its socket.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from onehop.driver.haproxy import word
from onehop.driver.haproxy.backend import Server
from onehop.driver.haproxy.choice import CHOICES_HERE
from onehop.driver.haproxy.http import WILDCARDS_HERE
from onehop.driver.haproxy.rendered import Rendered
from onehop.driver.haproxy.timed import PAIR
from onehop.driver.haproxy.tls import Line, staple_file

_LONGEST: Final = 12_000
"""Bytes of one command, of the 16 KiB that HAProxy's buffer has."""


class Reason(NamedTuple):
    """Why a reload is needed.

    Attributes:
        kind: one of few words, for a metric: listener, pool, policy, choice, wildcard,
            certificate or runtime.
        text: what it is about.
    """

    kind: str
    text: str


def reload_reasons(have: Rendered, want: Rendered) -> list[Reason]:
    """Return why a reload is needed, sorted; nothing if it is not."""
    reasons = [
        Reason(_kind_of(first), f"{'changed' if first in have.sections else 'new'} {first}")
        for first, lines in want.sections.items()
        if have.sections.get(first) != lines
    ]
    reasons += [
        Reason("listener", f"gone {first}")
        for first in have.sections.keys() - want.sections.keys()
        if first.startswith("frontend ") and first != f"frontend {PAIR}"
    ]
    fresh = {key for key, rules in want.rules.items() if have.rules.get(key) != rules}
    policies = {name for mark, name in fresh if mark not in {WILDCARDS_HERE, CHOICES_HERE}}
    reasons += [Reason("policy", f"{len(policies)} new or changed policies")] if policies else []
    if any(mark == CHOICES_HERE for mark, _ in fresh):
        reasons.append(Reason("choice", "new conditions by method, header or query"))
    if any(mark == WILDCARDS_HERE for mark, _ in fresh):
        reasons.append(Reason("wildcard", "a wildcard with as many labels as none had before"))
    reasons += [Reason("certificate", text) for text in _certificate_reasons(have, want)]
    return sorted(set(reasons))


def _kind_of(section: str) -> str:
    keyword, _, name = section.partition(" ")
    if keyword == "frontend" or name.startswith(("inner-", "ended-", "acme-")):
        return "listener"
    return "policy" if name.startswith("t-") else "pool"


def identity_commands(have: Rendered, want: Rendered) -> Iterator[str]:
    """Yield what brings certificates that endpoints are shown, before any server names one.

    What is not wanted any more stays until the next reload: servers may have connections yet.
    """
    for file, pem in want.identities.items():
        if file not in have.identities:
            yield f"new ssl cert {file}"
        if have.identities.get(file) != pem:
            yield f"set ssl cert {file} <<\n{pem}"
            yield f"commit ssl cert {file}"


def put_commands(have: Rendered, want: Rendered) -> Iterator[str]:
    """Yield what adds and changes, in an order in which nothing points at what is not there."""
    yield from _put_certificates(have, want)
    for path in want.maps:
        yield from _put_entries(path, have.maps[path], want.maps[path])


def remove_commands(have: Rendered, want: Rendered) -> Iterator[str]:
    """Yield what takes away, when everything that is wanted is there."""
    for path in reversed(want.maps):
        gone = have.maps[path].keys() - want.maps[path].keys()
        yield from joined(f"del map {path} {word.argument(key)}" for key in sorted(gone))
    for path, lines in have.lists.items():
        for file in lines.keys() - want.lists.get(path, {}).keys():
            yield f"del ssl crt-list {path} {file}"
            yield f"del ssl cert {file}"


def server_commands(
    backend: str,
    have: Mapping[str, Server],
    retired: Iterable[str],
    want: Mapping[str, Server],
) -> Iterator[str]:
    """Yield what brings a pool's servers to what they shall be.

    One that goes is put into maintenance: it finishes what it has. It can be deleted only when
    nothing of it is left, and is brought back if it is wanted again before.

    Args:
        backend: its name.
        have: the servers that may get work.
        retired: the names of those that wait to be deleted.
        want: the servers that there shall be.
    """
    waiting = frozenset(retired)
    for name, server in want.items():
        there = f"{backend}/{name}"
        if name in waiting:
            yield f"set server {there} weight {server.weight}; set server {there} state ready"
        elif name not in have:
            made = f"add server {there} {server.address} weight {server.weight} {server.options}"
            checked = f"; enable health {there}" if server.is_checked else ""
            yield f"{made.strip()}; enable server {there}{checked}"
        elif have[name].weight != server.weight:
            yield f"set server {there} weight {server.weight}"
    for name in have.keys() - want.keys():
        yield f"set server {backend}/{name} state maint"


def joined(commands: Iterable[str]) -> Iterator[str]:
    """Put short commands together, as many as fit into one line."""
    line = ""
    for command in commands:
        if line and len(line) + len(command) > _LONGEST:
            yield line
            line = ""
        line = f"{line}; {command}" if line else command
    if line:
        yield line


def _certificate_reasons(have: Rendered, want: Rendered) -> Iterator[str]:
    for path, lines in want.lists.items():
        shown, known = lines.values(), have.lists.get(path, {}).values()
        if {each for each in shown if each.options} != {each for each in known if each.options}:
            yield f"other clients to check in {path}"
        if [each for each in shown if each.is_default] != [e for e in known if e.is_default]:
            yield f"the first certificate of {path}"
    for path, content in want.identities.items():
        if len(content) > _LONGEST and have.identities.get(path) != content:
            yield f"new content of {path}"
    asked = {file for lines in want.lists.values() for file in lines}
    for path, content in want.files.items():
        is_long = max(len(content), len(_encoded(want.staples.get(path, b"")))) > _LONGEST
        if not _is_same(path, have, want) and (path not in asked or is_long):
            yield f"new content of {path}"


def _put_certificates(have: Rendered, want: Rendered) -> Iterator[str]:
    for path, lines in want.lists.items():
        known = have.lists.get(path, {})
        for line in lines.values():
            is_new = line.file not in known
            if is_new:
                yield f"new ssl cert {line.file}"
            if is_new or not _is_same(line.file, have, want):
                yield from _set_certificate(line.file, want)
            if is_new:
                yield _list_command(path, line)


def _set_certificate(file: str, want: Rendered) -> Iterator[str]:
    """Yield what sets a certificate and what its CA says of it: the two take effect together.

    The certificate is set even where it is the same one, for that has HAProxy forget what the CA
    said before: there is no other command for it.
    """
    yield f"set ssl cert {file} <<\n{want.files[file]}"
    staple = want.staples.get(file)
    if staple is not None:
        yield f"set ssl cert {staple_file(file)} <<\n{_encoded(staple)}\n"
    yield f"commit ssl cert {file}"


def _encoded(staple: bytes) -> str:
    """Return what a CA says as commands have it."""
    return b64encode(staple).decode()


def _is_same(file: str, have: Rendered, want: Rendered) -> bool:
    is_same_pair = have.files.get(file) == want.files[file]
    return is_same_pair and have.staples.get(file) == want.staples.get(file)


def _list_command(path: str, line: Line) -> str:
    return f"add ssl crt-list {path} <<\n{line.text}\n"


def _put_entries(path: str, have: Mapping[str, str], want: Mapping[str, str]) -> Iterator[str]:
    # The longest path first: what is for it must not meanwhile go to a shorter one, with another
    # guard. So it is the last one to be taken away.
    new = sorted(want.keys() - have.keys(), reverse=True)
    fresh = [f"{key} {want[key]}\n" for key in new]
    payload = ""
    for line in (*fresh, ""):
        if payload and (not line or len(payload) + len(line) > _LONGEST):
            yield f"add map {path} <<\n{payload}"
            payload = ""
        payload += line
    other = sorted(key for key, value in want.items() if have.get(key, value) != value)
    yield from joined(
        f"set map {path} {word.argument(key)} {word.argument(want[key])}" for key in other
    )
