"""What single rows come to: pure functions, each of a row and the little it has to know of others.

`book` knows which piece is to be made anew when a row changes.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple

from onehop.driver.haproxy import word
from onehop.driver.haproxy.backend import Section, backend_lines, pool_files, servers_of
from onehop.driver.haproxy.choice import (
    CHOICES_HERE,
    CHOSEN_HERE,
    Choice,
    after_choices,
    before_choices,
    choice_rules,
)
from onehop.driver.haproxy.guard import rate_table
from onehop.driver.haproxy.http import POLICIES_HERE, WILDCARDS_HERE, wildcard_rule
from onehop.driver.haproxy.identity import identity_file
from onehop.driver.haproxy.listener import (
    Surroundings,
    checked_routers,
    frontend_name,
    render_frontends,
    ways,
)
from onehop.driver.haproxy.match import HostEntries
from onehop.driver.haproxy.misdirected import made_entries
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.place import MAPS, Place
from onehop.driver.haproxy.policy import Policy, policy_rules
from onehop.driver.haproxy.rendered import Rendered, nothing
from onehop.driver.haproxy.retry import Attempts
from onehop.driver.haproxy.servername import DEEPEST_WILDCARD
from onehop.driver.haproxy.share import PersistenceOf, pool_name
from onehop.driver.haproxy.timed import timed_sections
from onehop.driver.haproxy.tls import (
    Shown,
    certificate_list,
    challenge_list,
    challenger,
    clients_ca_file,
    names_for,
    pair_of,
    show_checked,
    show_name,
)
from onehop.model.certificate import Certificate
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import CertificateId, RouterId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.pool import Pool
from onehop.model.route import MadeFor

_NOBODY: Final = ("mode http", "http-request return status 503")


def frame(place: Place) -> Rendered:
    """Return what is there without any row."""
    piece = nothing()
    piece.sections["backend nothing"] = _NOBODY
    piece.maps.update({place.map(name): {} for name in MAPS})
    return piece


def switch_piece(place: Place, *, is_leaving: bool) -> Rendered:
    """Return what is said to all."""
    piece = nothing()
    piece.maps[place.map("switch")] = {"leaving": "yes"} if is_leaving else {}
    return piece


def host_piece(entries: HostEntries, names: Iterable[str], place: Place) -> Rendered:
    """Return the entries of a host.

    Args:
        entries: what its routes come to.
        names: those of its routes' own that no other host takes before it.
        place: where the maps are.
    """
    piece, routes = nothing(), dict(entries.routes)
    for name in names:
        routes |= entries.named[name]
    piece.maps[place.map("case")] = entries.cases
    piece.maps[place.map("route")] = routes
    return piece


def policy_piece(policy: Policy, kinds: Iterable[bool], persistence_of: PersistenceOf) -> Rendered:
    """Return the rules of a policy, for the kinds of frontends that there are."""
    piece = nothing()
    limit = policy.route.guard.rate_limit
    if limit is not None:
        piece.sections[f"backend t-{policy.name}"] = (rate_table(limit),)
    for is_tls in kinds:
        rules = policy_rules(policy, is_tls=is_tls, persistence_of=persistence_of)
        here = CHOSEN_HERE if policy.is_chosen else POLICIES_HERE
        piece.rules[here[is_tls], policy.name] = tuple(rules)
    return piece


def choice_piece(choice: Choice) -> Rendered:
    """Return the rules of a choice."""
    piece = nothing()
    piece.rules[CHOICES_HERE, choice.name] = tuple(choice_rules(choice))
    return piece


def choosing_piece(place: Place) -> Rendered:
    """Return what stands before and behind all choices, if there are any."""
    piece = nothing()
    # Choices have names that begin with a `c`, and stand between the two.
    piece.rules[CHOICES_HERE, "before"] = tuple(before_choices())
    piece.rules[CHOICES_HERE, "later"] = tuple(after_choices(place))
    return piece


def timed_piece(place: Place) -> Rendered:
    """Return what gives all attempts of a request one clock."""
    piece = nothing()
    piece.sections.update(timed_sections(place))
    return piece


def wildcard_piece(labels: int, place: Place) -> Rendered:
    """Return what finds wildcards with so many labels; longer ones are looked for before."""
    piece = nothing()
    order = f"{DEEPEST_WILDCARD - labels:02d}"
    piece.rules[WILDCARDS_HERE, order] = (wildcard_rule(labels, place),)
    return piece


def made_piece(router: RouterId, made_fors: Collection[MadeFor], place: Place) -> Rendered:
    """Return what tells for which hosts of a router a connection was made."""
    piece = nothing()
    piece.maps[place.map("made")] = dict(made_entries(router, made_fors))
    return piece


def pool_piece(pool: Pool, several: Sequence[Attempts], idle_s: float, place: Place) -> Rendered:
    """Return the sections of a pool, without servers.

    Args:
        pool: the row.
        several: what the sections differ in.
        idle_s: the longest silence that any listener for bytes allows it.
        place: where the files are.
    """
    piece = nothing()
    names = tuple(pool_name(pool.id, attempts) for attempts in several)
    for name, attempts in zip(names, several, strict=True):
        lines = backend_lines(pool, Section(attempts, names, idle_s), place)
        piece.sections[f"backend {name}"] = tuple(lines)
    piece.files.update(pool_files(pool, place))
    return piece


def servers_piece(
    pool: Pool, members: PoolEndpoints | None, sections: Iterable[str], place: Place
) -> Rendered:
    """Return the servers of a pool, which all of its sections have."""
    piece, servers = nothing(), servers_of(pool, members, place)
    piece.servers.update((section, servers) for section in sections)
    return piece


def identity_piece(certificate: Certificate, place: Place) -> Rendered:
    """Return a certificate that endpoints are shown."""
    piece = nothing()
    piece.identities[identity_file(certificate.id, place)] = pair_of(certificate)
    return piece


def name_piece(
    listener: Listener, hostname: str, certificate: Certificate, place: Place
) -> Rendered:
    """Return what a listener shows for a server name, other than for hosts that ask clients."""
    frontend, piece = frontend_name(listener.id), nothing()
    shown = show_name(frontend, hostname, certificate, place)
    _add(piece, certificate_list(frontend), shown, place)
    return piece


class Certificates(NamedTuple):
    """Where a listener looks certificates up.

    Attributes:
        by_id: a certificate, or None.
        by_name: what a server name of the listener's router shows, or None.
    """

    by_id: Callable[[CertificateId], Certificate | None]
    by_name: Callable[[str], Certificate | None]


def listener_piece(
    listener: Listener, certificates: Certificates, place: Place, options: HaproxyOptions
) -> Rendered:
    """Return the sections of a listener, and what it shows besides its router's server names."""
    piece, handler, frontend = nothing(), listener.handler, frontend_name(listener.id)
    with_default: set[str] = set()
    if isinstance(handler, ForwardHttp) and handler.tls:
        shown_here = certificate_list(frontend)
        piece.lists[place.list(shown_here)] = {}
        if certificates.by_name("*") is not None:
            with_default.add(shown_here)
        for check in handler.client_checks:
            found = (certificates.by_name(name) for name in names_for(check.hostname))
            certificate = next((each for each in found if each is not None), None)
            if certificate is not None:
                shown = show_checked(frontend, check, certificate, place)
                _add(piece, shown_here, shown, place)
        if handler.clients is not None:
            piece.files[clients_ca_file(frontend, place)] = word.pem(handler.clients.ca_pem)
        _add_challenges(piece, frontend, handler, certificates, place)
    around = Surroundings(place, frozenset(with_default), options.is_privileged)
    for first, lines in render_frontends(listener, around):
        piece.sections[first] = tuple(lines)
    piece.maps[place.map("way")] = dict(ways(listener))
    piece.maps[place.map("check")] = dict(checked_routers(listener))
    return piece


def _add_challenges(
    piece: Rendered, frontend: str, handler: ForwardHttp, certificates: Certificates, place: Place
) -> None:
    if handler.challenges:
        piece.lists[place.list(challenge_list(frontend))] = {}
    for each in handler.challenges:
        certificate = certificates.by_id(each.certificate)
        if certificate is not None:
            shown = show_name(challenger(frontend), each.hostname, certificate, place)
            _add(piece, challenge_list(frontend), shown, place)


def _add(piece: Rendered, name: str, shown: Shown, place: Place) -> None:
    piece.lists.setdefault(place.list(name), {}).update(shown.lines)
    piece.files.update(shown.files)
    piece.staples.update(shown.staples)
