"""Who looks at whom: which pieces a row makes stale when it comes, changes or goes.

* A pool looks at when its routes' requests are made again, for a section each, and at listeners for
  bytes, for its silence.
* A policy is there for as long as a host has it, and for each kind of listener, HTTP and HTTPS; one
  that splits requests looks at whether its pools keep sessions.
* The clock for all attempts is there while a policy wants it.
* A choice is there for as long as a host has it; what stands around all, while there is one.
* For whom connections of a router are made looks at its hosts that say so, and at its listeners.
* Wildcards are looked for where a host has as many labels behind its `*`.
* A listener looks at its router's server names, and a server name at its certificate.
* The servers of a pool that are shown a certificate look whether it is there.
* A name that a wildcard's routes speak of looks at the hosts that would take it before.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, assert_never

from onehop.driver.haproxy.choice import Choice
from onehop.driver.haproxy.listener import bytes_to
from onehop.driver.haproxy.match import HostEntries, entries_of, names_over
from onehop.driver.haproxy.policy import Policy, answering
from onehop.driver.haproxy.retry import Attempts
from onehop.driver.haproxy.servername import labels_of_wildcard
from onehop.driver.haproxy.share import shares_of
from onehop.driver.haproxy.timed import time_for_all_s
from onehop.driver.haproxy.uses import Uses
from onehop.model.certificate import Certificate, ServerName
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import CertificateId, HostId, ListenerId, PoolId, RouterId
from onehop.model.listener import ForwardHttp, Listener, Vip
from onehop.model.model import Row, Table
from onehop.model.pool import Pool
from onehop.model.route import Forward, MadeFor, VirtualHost

POLICY: Final = "policy"
CHOICE: Final = "choice"
CHOOSING: Final = "choosing"
IDENTITY: Final = "identity"
MADE: Final = "made"
SERVERS: Final = "servers"
TIMED: Final = "timed"
SWITCH: Final = "switch"
WILDCARD: Final = "wildcard"

_USUAL_ANSWERS: Final = (200, 403, 404, 421, 503)
"""There from the start, so that the first of them needs no reload."""
_USUAL_LABELS: Final = (2, 3)
"""Of wildcards, `*.example.com` and `*.apps.example.com`: there from the start as well."""


class PieceKey(NamedTuple):
    """Which piece.

    Attributes:
        kind: the table of the row that it is of, or one of those above.
        id: of the row; the host's name, for a server name.
        of: the listener that shows a server name.
    """

    kind: str
    id: str
    of: str = ""


class Index:
    """What rows are used for, counted as they come and go.

    Attributes:
        stale: the pieces that have to be made anew.
        hosts: those that are there, by router and name.
        entries: what each of them comes to.
        listeners: those that are there.
        names: the server names of each router, by host.
        policies: those that some host has, by name.
        choices: those that some host has, by name.
        retries: what routes to a pool ask for.
        silences: what listeners for bytes allow a pool.
        made_for: for whom the connections of a router are made.
        wildcards: the hosts by how many labels are behind their `*`.
        kinds: listeners for HTTP, without TLS and with.
        tls_listeners: those that end the TLS of a router.
        splitters: those that look for whom connections of a router are made.
        challengers: the listeners that show a certificate to a CA.
        shown: the server names that show a certificate.
        identities: the pools whose endpoints are shown a certificate.
    """

    def __init__(self) -> None:
        self.stale = {PieceKey(SWITCH, "")}
        self.hosts: dict[tuple[RouterId, str], HostId] = {}
        self.entries: dict[HostId, HostEntries] = {}
        self.listeners: dict[ListenerId, Listener] = {}
        self.names: dict[RouterId, dict[str, ServerName]] = {}
        self.policies: dict[str, Policy] = {}
        self.choices: dict[str, Choice] = {}
        self.attempts = Uses[PoolId, Attempts]()
        self.silences = Uses[PoolId, float]()
        self.made_for = Uses[RouterId, MadeFor]()
        self.wildcards = Uses[int, HostId]()
        self.kinds = Uses[bool, ListenerId]()
        self.tls_listeners = Uses[RouterId, ListenerId]()
        self.splitters = Uses[RouterId, ListenerId]()
        self.challengers = Uses[CertificateId, ListenerId]()
        self.shown = Uses[CertificateId, tuple[RouterId, str]]()
        self.identities = Uses[CertificateId, PoolId]()
        self.timed = Uses[str, HostId]()
        self._checkers = Uses[RouterId, ListenerId]()
        self._policy_users = Uses[str, HostId]()
        self._choice_users = Uses[str, HostId]()
        self._splits = Uses[PoolId, str]()
        self._watchers = Uses[tuple[RouterId, str], HostId]()
        for policy in answering(*_USUAL_ANSWERS):
            self._note_policy(policy, HostId(""), 1)
        for labels in _USUAL_LABELS:
            self._note_wildcard(labels, HostId(""), 1)

    def note(self, row: Row, by: int) -> None:
        """Count a row that comes (1) or goes (-1), and mark what looks at it."""
        match row:
            case VirtualHost():
                self._note_host(row, by)
            case Listener():
                self._note_listener(row, by)
            case ServerName():
                self._note_name(row, by)
            case Certificate():
                self._mark_certificate(row.id)
            case Pool():
                self._note_pool(row, by)
            case PoolEndpoints(pool=pool):
                self._mark(SERVERS, (pool,))
            case Vip():
                pass
            case _:
                assert_never(row)

    def _note_host(self, host: VirtualHost, by: int) -> None:
        if by > 0:
            entries = self.entries[host.id] = entries_of(host)
            self.hosts[host.router, host.hostname] = host.id
        else:
            entries = self.entries.pop(host.id)
            del self.hosts[host.router, host.hostname]
        self._mark(Table.HOST, (host.id,))
        self._note_wildcard(labels_of_wildcard(host.hostname), host.id, by)
        if host.made_for is not None:
            self._note_made_for(host.router, host.made_for, by)
        for policy in entries.policies.values():
            self._note_policy(policy, host.id, by)
        for choice in entries.choices.values():
            self._note_choice(choice, host.id, by)
        for pool, attempts in entries.attempts:
            self.attempts.note(pool, attempts, by)
            self._mark_pool(pool)
        for name in entries.named:
            for over in names_over(name):
                self._watchers.note((host.router, over), host.id, by)
        self._mark(Table.HOST, self._watchers.of((host.router, host.hostname)))

    def _note_pool(self, pool: Pool, by: int) -> None:
        self._mark_pool(pool.id)
        if pool.persistence is not None:
            self._mark(POLICY, self._splits.of(pool.id))
        if pool.tls is not None and pool.tls.client is not None:
            self.identities.note(pool.tls.client, pool.id, by)
            self._mark(IDENTITY, (pool.tls.client,))

    def _note_wildcard(self, labels: int, user: HostId, by: int) -> None:
        if labels:
            self.wildcards.note(labels, user, by)
            self._mark(WILDCARD, (str(labels),))

    def _note_made_for(self, router: RouterId, made_for: MadeFor, by: int) -> None:
        was_there = made_for in self.made_for.of(router)
        self.made_for.note(router, made_for, by)
        if was_there != (made_for in self.made_for.of(router)):
            self._mark(MADE, (router,))

    def _note_policy(self, policy: Policy, user: HostId, by: int) -> None:
        self._policy_users.note(policy.name, user, by)
        self._mark(POLICY, (policy.name,))
        self.policies[policy.name] = policy
        if not self._policy_users.of(policy.name):
            del self.policies[policy.name]
        action = policy.route.action
        shares = shares_of(action) if isinstance(action, Forward) else ()
        if isinstance(action, Forward) and time_for_all_s(action) is not None:
            self.timed.note(TIMED, user, by)
            self._mark(TIMED, ("",))
        if len(shares) > 1:
            for share in shares:
                self._splits.note(share.pool, policy.name, by)

    def _note_choice(self, choice: Choice, user: HostId, by: int) -> None:
        self._choice_users.note(choice.name, user, by)
        self._mark(CHOICE, (choice.name,))
        self._mark(CHOOSING, ("",))
        self.choices[choice.name] = choice
        if not self._choice_users.of(choice.name):
            del self.choices[choice.name]

    def _note_listener(self, listener: Listener, by: int) -> None:
        handler = listener.handler
        self._mark(Table.LISTENER, (listener.id,))
        if by > 0:
            self.listeners[listener.id] = listener
        else:
            del self.listeners[listener.id]
        for pool, silence_s in bytes_to(listener):
            self.silences.note(pool, silence_s, by)
            self._mark_pool(pool)
        if not isinstance(handler, ForwardHttp):
            return
        had_any = bool(self.kinds.of(handler.tls))
        self.kinds.note(handler.tls, listener.id, by)
        if had_any != bool(self.kinds.of(handler.tls)):
            self._mark(POLICY, self.policies)
        for challenge in handler.challenges:
            self.challengers.note(challenge.certificate, listener.id, by)
        if handler.tls:
            self.tls_listeners.note(handler.router, listener.id, by)
            for hostname in self.names.get(handler.router, ()):
                self.stale.add(PieceKey(Table.SERVER_NAME, hostname, listener.id))
        if handler.splits_names:
            self.splitters.note(handler.router, listener.id, by)
            self._mark(MADE, (handler.router,))
        if handler.client_checks:
            self._checkers.note(handler.router, listener.id, by)

    def _note_name(self, name: ServerName, by: int) -> None:
        names = self.names.setdefault(name.router, {})
        if by > 0:
            names[name.hostname] = name
        else:
            del names[name.hostname]
        self.shown.note(name.certificate, (name.router, name.hostname), by)
        self._mark_name(name.router, name.hostname)

    def _mark_name(self, router: RouterId, hostname: str) -> None:
        listeners = self.tls_listeners.of(router)
        self.stale.update(PieceKey(Table.SERVER_NAME, hostname, each) for each in listeners)
        self._mark(Table.LISTENER, listeners if hostname == "*" else self._checkers.of(router))

    def _mark_certificate(self, certificate: CertificateId) -> None:
        for router, hostname in self.shown.of(certificate):
            self._mark_name(router, hostname)
        self._mark(Table.LISTENER, self.challengers.of(certificate))
        self._mark(IDENTITY, (certificate,))
        self._mark(SERVERS, self.identities.of(certificate))

    def _mark_pool(self, pool: PoolId) -> None:
        self.stale |= {PieceKey(Table.POOL, pool), PieceKey(SERVERS, pool)}

    def _mark(self, kind: str, ids: Iterable[str]) -> None:
        self.stale.update(PieceKey(kind, each) for each in ids)
