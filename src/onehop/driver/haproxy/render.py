"""Rows as everything that HAProxy reads: pure, so it can be compared, printed and tested.

What is rendered comes apart into what a reload is needed for (sections, policies) and what the
runtime API can change under a running worker (maps, servers, certificates); `change` compares.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from onehop.driver.haproxy import word
from onehop.driver.haproxy.backend import (
    Server,
    backend_lines,
    check_pool,
    check_retry,
    pool_files,
    servers_of,
)
from onehop.driver.haproxy.guard import rate_table
from onehop.driver.haproxy.http import POLICIES_HERE
from onehop.driver.haproxy.listener import (
    Surroundings,
    check_listener,
    checked_routers,
    frontend_name,
    render_frontends,
    ways_of,
)
from onehop.driver.haproxy.match import HostEntries, entries_of, key_of_host, names_over
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.place import MAPS, Place
from onehop.driver.haproxy.policy import Policy, answering, policy_rules, pool_name
from onehop.driver.haproxy.tls import Line, pair_of, show
from onehop.model.certificate import REDACTED, Certificate, ServerName
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardHttp, ForwardTcp, Listener, Vip
from onehop.model.model import Model, Row, RowKey, Table, key_of, model_of
from onehop.model.pool import Persistence, Pool
from onehop.model.route import Retry, VirtualHost

_USUAL_ANSWERS: Final = (200, 403, 404, 421, 503)
"""There from the start, so that the first of them needs no reload."""

_NOTHING: Final = ("mode http", "http-request return status 503")


class Rendered(NamedTuple):
    """All that HAProxy reads.

    Attributes:
        sections: the lines by the first one; but for `global`, which changes with each start.
        rules: the lines of a policy, by its name and whether they are for HTTPS.
        maps: value by key, by the path of the map.
        lists: the lines of lists of certificates, by path.
        files: PEM by path; most hold private keys.
        servers: the servers by name, by backend.
        owners: whose fault it is, by any name that HAProxy may complain of.
    """

    sections: dict[str, tuple[str, ...]]
    rules: dict[tuple[str, bool], tuple[str, ...]]
    maps: dict[str, dict[str, str]]
    lists: dict[str, tuple[Line, ...]]
    files: dict[str, str]
    servers: dict[str, dict[str, Server]]
    owners: dict[str, RowKey]


def render_files(model: Model, options: HaproxyOptions) -> dict[str, str]:
    """Return what HAProxy would read, by the name of the file; what is PEM is redacted.

    Rows that cannot be had are left out, as they would be.
    """
    renderer = Renderer(options)
    able = model_of(row for row in model.rows() if renderer.why_not(row) is None)
    rendered = renderer.render(able)
    files = {"haproxy.cfg": renderer.config_text(rendered, f"{options.state_dir}/run-1.sock")}
    for path, text in texts_of(rendered):
        files[path.rpartition("/")[2]] = REDACTED if path in rendered.files else text
    return {name: text for name, text in files.items() if text}


def texts_of(rendered: Rendered) -> Iterator[tuple[str, str]]:
    """Yield the files besides the configuration, by path."""
    for path, entries in rendered.maps.items():
        yield path, "".join(f"{key} {value}\n" for key, value in entries.items())
    for path, lines in rendered.lists.items():
        yield path, "".join(f"{line.text}\n" for line in lines)
    yield from rendered.files.items()


class Renderer:
    """Renders; what a host becomes is remembered for as long as the host is the same.

    Args:
        options: how HAProxy is run.
    """

    def __init__(self, options: HaproxyOptions) -> None:
        self._place = Place(options.state_dir)
        self._options = options
        self._hosts: dict[RowKey, tuple[VirtualHost, HostEntries]] = {}

    def why_not(self, row: Row) -> str | None:
        """Return why a row cannot be taken, or None."""
        try:
            self._check(row)
        except word.Unfit as err:
            return str(err)
        return None

    def render(self, model: Model, *, is_leaving: bool = False) -> Rendered:
        """Return everything, for rows that `why_not` has nothing against."""
        out = Rendered({}, {}, {self._place.map(name): {} for name in MAPS}, {}, {}, {}, {})
        if is_leaving:
            out.maps[self._place.map("switch")]["leaving"] = "yes"
        entries = [(host, self._entries(host)) for host in model.hosts]
        policies = self._add_hosts(out, entries)
        self._add_listeners(out, model)
        self._add_pools(out, model, _retries(each for _, each in entries))
        pools = {pool.id: pool for pool in model.pools}
        _add_policies(out, policies, pools)
        known = {key_of(host) for host in model.hosts}
        for gone in self._hosts.keys() - known:
            del self._hosts[gone]
        return out

    def servers(self, pool: Pool, members: PoolEndpoints | None) -> dict[str, Server]:
        """Return the servers of one pool."""
        return servers_of(pool, members, self._place)

    def config_text(self, rendered: Rendered, runtime_socket: str) -> str:
        """Return the configuration file."""
        sections = {"global": self._global(runtime_socket), "defaults": _DEFAULTS}
        for first, lines in (*sections.items(), *rendered.sections.items()):
            sections[first] = tuple(_with_rules(lines, rendered.rules))
        for backend, servers in rendered.servers.items():
            own = (_server_line(name, server) for name, server in servers.items())
            sections[f"backend {backend}"] += tuple(own)
        return "\n".join("\n    ".join((first, *lines)) + "\n" for first, lines in sections.items())

    def _entries(self, host: VirtualHost) -> HostEntries:
        key = key_of(host)
        known = self._hosts.get(key)
        if known is None or known[0] is not host:
            known = self._hosts[key] = (host, entries_of(host))
        return known[1]

    def _check(self, row: Row) -> None:
        match row:
            case VirtualHost():
                for _, retry in entries_of(row).retries:
                    check_retry(retry)
            case Listener():
                check_listener(row)
            case Pool():
                check_pool(row, self._place)
            case Certificate():
                pair_of(row)
            case ServerName(hostname=hostname):
                word.host(hostname)
            case PoolEndpoints() | Vip():
                pass

    def _add_hosts(
        self, out: Rendered, entries: list[tuple[VirtualHost, HostEntries]]
    ) -> dict[str, Policy]:
        hosts = out.maps[self._place.map("host")]
        policies = {policy.name: policy for policy in answering(*_USUAL_ANSWERS)}
        known = {(host.router, host.hostname) for host, _ in entries}
        for host, each in entries:
            hosts |= each.hosts
            out.maps[self._place.map("exact")] |= each.exact
            out.maps[self._place.map("prefix")] |= each.prefix
            policies |= each.policies
            out.owners.update(dict.fromkeys(each.policies, key_of(host)))
            for name, view in each.named.items():
                taker = next((n for n in names_over(name) if (host.router, n) in known), None)
                if taker == host.hostname:
                    hosts[key_of_host(host.router, name)] = view
        return policies

    def _add_listeners(self, out: Rendered, model: Model) -> None:
        certificates = {each.id: each for each in model.certificates}
        for listener in model.listeners:
            name, handler = frontend_name(listener), listener.handler
            with_default: set[str] = set()
            if isinstance(handler, ForwardHttp) and handler.tls:
                names = [each for each in model.server_names if each.router == handler.router]
                shown = show(name, handler, names, certificates, self._place)
                out.lists.update(shown.lists)
                out.files.update(shown.files)
                out.owners.update(shown.owners)
                with_default = shown.with_default
            around = Surroundings(self._place, frozenset(with_default), self._options.is_privileged)
            for first, lines in render_frontends(listener, around):
                out.sections[first] = tuple(lines)
                out.owners[first.partition(" ")[2]] = key_of(listener)
            out.maps[self._place.map("way")] |= ways_of(listener)
            out.maps[self._place.map("check")] |= checked_routers(listener)

    def _add_pools(self, out: Rendered, model: Model, retries: Mapping[PoolId, Retry]) -> None:
        idle = _idle_of(model.listeners)
        members = {each.pool: each for each in model.endpoints}
        out.sections["backend nothing"] = _NOTHING
        for pool in model.pools:
            name = pool_name(pool.id)
            lines = backend_lines(
                pool, retries.get(pool.id, Retry()), idle.get(pool.id, 0.0), self._place
            )
            out.sections[f"backend {name}"] = tuple(lines)
            out.servers[name] = self.servers(pool, members.get(pool.id))
            files = dict(pool_files(pool, self._place))
            out.files.update(files)
            out.owners.update(dict.fromkeys((name, *files), RowKey(Table.POOL, pool.id)))

    def _global(self, runtime_socket: str) -> tuple[str, ...]:
        options = self._options
        threads = () if options.threads is None else (f"nbthread {options.threads}",)
        return (
            "expose-experimental-directives",  # normalize-uri is one of them
            "no strict-limits",
            f"maxconn {options.max_connections}",
            *threads,
            f"hard-stop-after {max(1, round(options.old_worker_s))}s",
            f"stats socket {runtime_socket} mode 600 level admin expose-fd listeners",
            # A session that was begun for one host must not be resumed for another one, whose
            # clients are asked for certificates: nothing is resumed.
            "tune.ssl.cachesize 0",
            "ssl-default-bind-options no-tls-tickets",
        )


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


def _with_rules(
    lines: Iterable[str], rules: Mapping[tuple[str, bool], tuple[str, ...]]
) -> Iterator[str]:
    for line in lines:
        yield line
        for is_tls, mark in POLICIES_HERE.items():
            if line == mark:
                for (_, for_tls), each in rules.items():
                    yield from each if for_tls is is_tls else ()


def _server_line(name: str, server: Server) -> str:
    return f"server {name} {server.address} weight {server.weight} {server.options}".rstrip()


def _add_policies(
    out: Rendered, policies: Mapping[str, Policy], pools: Mapping[PoolId, Pool]
) -> None:
    def persistence_of(pool: PoolId) -> Persistence | None:
        return pools[pool].persistence if pool in pools else None

    used = {
        is_tls
        for is_tls, mark in POLICIES_HERE.items()
        if any(mark in lines for lines in out.sections.values())
    }
    for name, policy in sorted(policies.items()):
        limit = policy.route.guard.rate_limit
        if limit is not None:
            out.sections[f"backend t-{name}"] = (rate_table(limit),)
        for is_tls in sorted(used):
            lines = policy_rules(policy, is_tls=is_tls, persistence_of=persistence_of)
            out.rules[name, is_tls] = tuple(lines)


def _retries(entries: Iterable[HostEntries]) -> dict[PoolId, Retry]:
    """Return what all routes to a pool ask for together: HAProxy has it at the pool."""
    merged: dict[PoolId, Retry] = {}
    for each in entries:
        for pool, retry in each.retries:
            known = merged.get(pool, retry)
            merged[pool] = Retry(
                attempts=max(known.attempts, retry.attempts),
                codes=tuple(sorted({*known.codes, *retry.codes})),
            )
    return merged


def _idle_of(listeners: Iterable[Listener]) -> dict[PoolId, float]:
    """Return the longest silence that listeners for bytes allow, by pool."""
    idle: dict[PoolId, float] = {}
    for listener in listeners:
        handler = listener.handler
        if isinstance(handler, ForwardTcp):
            uses = [(handler.pool, handler.idle_timeout_s)]
        elif isinstance(handler, ForwardHttp):
            uses = [(p.pool, p.idle_timeout_s) for p in handler.passthroughs if p.pool is not None]
        else:
            uses = []
        for pool, idle_s in uses:
            idle[pool] = max(idle.get(pool, 0.0), idle_s)
    return idle
