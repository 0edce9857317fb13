"""The text of HAProxy's configuration file, from what is rendered; equal meaning is equal bytes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from onehop.driver.haproxy.affinity import keeps_clients, local_peer, peers_section
from onehop.driver.haproxy.backend import Server
from onehop.driver.haproxy.identity import keeping_sections
from onehop.driver.haproxy.options import Attachment, HaproxyOptions
from onehop.driver.haproxy.rendered import Rendered

_DEFAULTS: Final = (
    "timeout connect 2s",
    "timeout client 300s",
    "timeout server 300s",
    # A server that died without a word is noticed within 15 seconds.
    "option srvtcpka",
    "srvtcpka-idle 6s",
    "srvtcpka-intvl 3s",
    "srvtcpka-cnt 3",
)


def config_text(rendered: Rendered, options: HaproxyOptions, runtime_socket: str) -> str:
    """Return the configuration file.

    Args:
        rendered: what the rows come to.
        options: how HAProxy is run.
        runtime_socket: where the worker that reads this shall be spoken to.
    """
    rules: dict[str, list[str]] = {}
    for (mark, _), several in sorted(rendered.rules.items()):
        rules.setdefault(mark, []).extend(several)
    sections: dict[str, Iterable[str]] = {
        "global": (
            _own_global(options, runtime_socket)
            if options.attached is None
            else _shared_global(options.attached, runtime_socket)
        ),
        "defaults" if options.attached is None else "defaults onehop": _DEFAULTS,
    }
    if options.attached is None and keeps_clients(rendered.sections.values()):
        sections["global"] = (*sections["global"], local_peer())
        first, lines = peers_section(options.place)
        sections[first] = lines
    found = {**rendered.sections, **dict(keeping_sections(rendered.identities))}
    for first, lines in sorted(found.items(), key=_place_of):
        servers = rendered.servers.get(first.removeprefix("backend "), {})
        sections[first] = (*_with_rules(lines, rules), *_server_lines(servers))
    return "\n".join("\n    ".join((first, *lines)) + "\n" for first, lines in sections.items())


def _place_of(section: tuple[str, tuple[str, ...]]) -> tuple[bool, str]:
    """Return what sorts sections: frontends first, for whoever reads the file."""
    first, _ = section
    return not first.startswith("frontend "), first


def _own_global(options: HaproxyOptions, runtime_socket: str) -> Iterator[str]:
    yield "expose-experimental-directives"  # normalize-uri is one of them
    yield "no strict-limits"
    yield f"maxconn {options.max_connections}"
    if options.threads is not None:
        yield f"nbthread {options.threads}"
    yield f"hard-stop-after {max(1, round(options.old_worker_s))}s"
    yield f"stats socket {runtime_socket} mode 600 level admin expose-fd listeners"
    # A session that was begun for one host must not be resumed for another one, whose clients are
    # asked for certificates: nothing is resumed.
    yield "tune.ssl.cachesize 0"
    yield "ssl-default-bind-options no-tls-tickets"


def _shared_global(attached: Attachment, runtime_socket: str) -> Iterator[str]:
    """Yield what adds to another `global`, and overrides nothing there."""
    yield "expose-experimental-directives"
    yield f"stats socket {runtime_socket} mode 600 uid {attached.uid} level admin"


def _with_rules(lines: Iterable[str], rules: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for line in lines:
        yield line
        yield from rules.get(line, ())


def _server_lines(servers: Mapping[str, Server]) -> Iterator[str]:
    for name, server in servers.items():
        made = f"server {name} {server.address} weight {server.weight} {server.options}"
        yield made.rstrip()
