"""A cluster that is edited, and what a data plane must show when the last edit has arrived.

Nothing of the product is asked: requests are made, handshakes are looked at, and HAProxy is asked
for its servers.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from random import Random
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from bench import shop
from bench.child import Told
from bench.haproxy import Master
from bench.namespace import PRODUCT_VIP
from bench.orders import Put
from bench.probe import Probe
from bench.row_swap import Certificates, secret_name

Edit = Callable[[], None]

_TLS_HOSTS: Final = 4
_MOST_PODS: Final = 3
_ASKED: Final = 4 * _MOST_PODS
_HOSTS: Final = 12
_ASIDE: Final = "/aside"
_TIMEOUT_S: Final = 5.0


class Wanted:
    """What was put into the API; Services and Ingresses have the numbers of `shop`.

    Args:
        api: where edits go.
        services: how many there are; the last one's Ingress is left alone.
    """

    def __init__(self, api: Told, services: int) -> None:
        self._api = api
        self._certificates = Certificates(api)
        self._services = range(services)
        self._edited = range(services - 1)
        self._shown: dict[int, str] = {}
        self._pods: dict[int, frozenset[str]] = {}
        self._paths = {number: {"/": number, _ASIDE: 0} for number in self._edited}
        self._more: dict[int, int] = {}
        for number in range(_TLS_HOSTS):
            self.renew(number)
        for number in self._services:
            self.move(number, _MOST_PODS, 0)
        for number in self._edited:
            self.lead(number, "/", number)
        self.open(0, 0)

    # Edits

    def move(self, service: int, pods: int, side: int) -> None:
        """Let a Service have so many Pods, of one side."""
        self._pods[service] = frozenset(
            f"{address}:{shop.PORT}" for address in shop.addresses(service, pods, side)
        )
        self._api.ask(Put(shop.endpoint_slice(service, pods, side)))

    def lead(self, number: int, path: str, service: int) -> None:
        """Let a path of a host lead to a Service."""
        self._paths[number][path] = service
        paths = [shop.path(where, to) for where, to in self._paths[number].items()]
        obj = shop.ingress(number, paths=paths)
        if number < _TLS_HOSTS:
            obj["spec"]["tls"] = [
                {"hosts": [shop.host(number)], "secretName": secret_name(number)},
            ]
        self._api.ask(Put(obj))

    def open(self, number: int, service: int) -> None:
        """Have one more host, that leads to a Service."""
        self._more[number] = service
        self._put_more()

    def close(self, number: int) -> None:
        """Have one of these hosts no longer; the first one stays."""
        self._more.pop(number or -1, None)
        self._put_more()

    def renew(self, number: int) -> None:
        """Give a host a new certificate, with a new key."""
        self._shown[number], _ = self._certificates.renew(number)

    def in_turn(self) -> Iterator[Edit]:
        """Yield edits of the hosts that get requests: an edit of each kind, and again."""
        for turn in count(1):
            yield partial(self.move, turn // 2 % 2, turn % _MOST_PODS + 1, turn % 2)
            yield partial(self.renew, turn % _TLS_HOSTS)
            yield partial(self.open, turn, turn % 2)
            yield partial(self.lead, 0, "/", turn % 2)
            yield partial(self.close, turn - 5)

    def at_random(self, random: Random) -> Iterator[Edit]:
        """Yield edits, every other one of endpoints."""
        while True:
            service = random.choice(self._services)
            host, extra = random.choice(self._edited), random.randrange(1, _HOSTS)
            pods, side = random.randint(1, _MOST_PODS), random.randrange(2)
            yield partial(self.move, service, pods, side)
            path = random.choice(("/", _ASIDE))
            yield random.choice(
                (
                    partial(self.lead, host, path, service),
                    partial(self.open, extra, service),
                    partial(self.close, extra),
                    partial(self.renew, random.randrange(_TLS_HOSTS)),
                )
            )

    # What must be seen

    def differences(self, master: Master) -> list[str]:
        """Return what is shown otherwise than it shall be, in words."""
        return [*self._wrong_servers(master), *self._wrong_answers(), *self._wrong_certificates()]

    def left_over(self, master: Master) -> list[list[str]]:
        """Return the servers of backends that should have none: nothing leads to them any more."""
        return _without(_listed(master), self._led())

    def _wrong_servers(self, master: Master) -> Iterator[str]:
        for servers in _without(self._led(), listed := _listed(master)):
            yield f"HAProxy lists no backend with {servers}, but {listed}"

    def _led(self) -> list[list[str]]:
        """Return the Pods of each Service that something leads to: others are in no data plane."""
        led = {*self._more.values(), self._services[-1]}  # the last one's Ingress stays
        led.update(service for paths in self._paths.values() for service in paths.values())
        return sorted(sorted(self._pods[service]) for service in led)

    def _wrong_answers(self) -> Iterator[str]:
        ways = {
            (shop.host(number), path): service
            for number, paths in self._paths.items()
            for path, service in paths.items()
        }
        ways |= {(_more_host(number), "/"): service for number, service in self._more.items()}
        with Probe(PRODUCT_VIP) as probe:
            for (host, path), service in ways.items():
                said = frozenset(probe.ask(host, path).body.decode() for _ in range(_ASKED))
                if said != self._pods[service]:
                    yield f"{host}{path} is answered by {sorted(said)}"
            for number in set(range(_HOSTS)) - self._more.keys():
                if (status := probe.ask(_more_host(number)).status) != 404:
                    yield f"{_more_host(number)} is gone and answers {status}"

    def _wrong_certificates(self) -> Iterator[str]:
        for number, wanted in self._shown.items():
            if (shown := _shown_to(shop.host(number))) != wanted:
                yield f"{shop.host(number)} shows {shown}, not {wanted}"

    def _put_more(self) -> None:
        rules = [
            {"host": _more_host(number), "http": {"paths": [shop.path("/", service)]}}
            for number, service in sorted(self._more.items())
        ]
        obj = shop.ingress(0)
        obj["metadata"]["name"] = "more"
        obj["spec"]["rules"] = rules
        self._api.ask(Put(obj))


def _more_host(number: int) -> str:
    return f"{number}-more.example.com"


def _listed(master: Master) -> list[list[str]]:
    return sorted(sorted(servers) for servers in master.servers().values())


def _without(some: list[list[str]], others: list[list[str]]) -> list[list[str]]:
    return [each for each in some if each not in others]


def _shown_to(host: str) -> str:
    """Return the common name of the certificate that a client of a host is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((PRODUCT_VIP, 443), _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            shown = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    except OSError as error:
        return type(error).__name__
    return str(shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
