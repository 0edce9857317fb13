"""A CA's rate limits, as data, and how much of them is used up.

Let's Encrypt publishes its limits (https://letsencrypt.org/docs/rate-limits/). Counting them here
turns most 429s into a wait that was known beforehand. The CA refills its buckets one by one; we
count what happened within the window, which never allows more than the CA does.

What was done is kept with each Secret (`saved.Saved`), and a `Ledger` is the sum over all of them:
there is no second place to write to. What was deleted is forgotten; the CA then says so with 429.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

import msgspec

from onehop.model.ident import ObjectRef

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
_SECOND_LEVEL: Final = frozenset(("ac", "co", "com", "edu", "gov", "net", "or", "org"))


class Scope(StrEnum):
    """What is counted, and by what."""

    ORDERS = "orders per account"
    REGISTERED_DOMAIN = "orders per registered domain"
    EXACT_SET = "orders per exact set of hosts"
    FAILURES = "failed validations per host"


class Quota(msgspec.Struct, frozen=True):
    """So many within so long.

    Attributes:
        spares_renewals: orders that name what they replace are not counted (RFC 9773, section 5,
            and the CA's page).
    """

    scope: Scope
    count: int
    window_s: float
    spares_renewals: bool = True


LETS_ENCRYPT: Final = (
    Quota(Scope.ORDERS, 300, 3 * HOUR_S),
    Quota(Scope.REGISTERED_DOMAIN, 50, 7 * DAY_S),
    Quota(Scope.EXACT_SET, 5, 7 * DAY_S),
    Quota(Scope.FAILURES, 5, HOUR_S, spares_renewals=False),
)
"""As published in 2025. The last one is also a kindness to any other CA."""


class DeedKind(StrEnum):
    """What a CA counts."""

    ORDER = "order"
    RENEWAL = "renewal"
    FAILURE = "failure"


class Deed(msgspec.Struct, frozen=True):
    """Something of ours that a CA counts.

    Attributes:
        directory: of the CA that counts it.
        at: seconds since the epoch.
        hosts: those of the order, or those that failed validation.
    """

    kind: DeedKind
    directory: str
    at: float
    hosts: tuple[str, ...]


class Hold(msgspec.Struct, frozen=True):
    """No order before `until`, and the quota that says so."""

    until: float
    quota: Quota
    subject: str

    def __str__(self) -> str:
        quota = self.quota
        about = f" ({self.subject})" if self.subject else ""
        return (
            f"the limit of {quota.count} {quota.scope}{about} within"
            f" {quota.window_s / HOUR_S:g} h is used up"
        )


def first_hold(
    quotas: Iterable[Quota],
    deeds: Iterable[Deed],
    hosts: tuple[str, ...],
    *,
    now: float,
    is_renewal: bool,
) -> Hold | None:
    """Return what holds an order for these hosts up the longest, or None if it may go out now."""
    done = tuple(deeds)
    holds = [
        hold
        for quota in quotas
        if not (is_renewal and quota.spares_renewals)
        for hold in _holds(quota, done, hosts, now)
    ]
    return max(holds, key=lambda hold: hold.until, default=None)


class Ledger:
    """What was done for all Secrets together."""

    def __init__(self) -> None:
        self._deeds: dict[ObjectRef, tuple[Deed, ...]] = {}

    def put(self, secret: ObjectRef, deeds: tuple[Deed, ...]) -> None:
        """Count these for a Secret, and no others."""
        self._deeds[secret] = deeds

    def of(self, directory: str) -> Iterator[Deed]:
        """Yield all that one CA counts."""
        for deeds in self._deeds.values():
            for deed in deeds:
                if deed.directory == directory:
                    yield deed


def longest_window_s(quotas: Iterable[Quota]) -> float:
    """Return how long a deed has to be remembered."""
    return max((quota.window_s for quota in quotas), default=0.0)


def registered_domain(host: str) -> str:
    """Return the domain that was bought, by rule of thumb: `example.com`, `example.co.uk`.

    The CA uses the Public Suffix List. Where we differ, we count too many together, which costs
    patience, or too few, which costs a 429.
    """
    labels = host.removeprefix("*.").split(".")
    is_deep = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL  # noqa: PLR2004  a country's two letters
    return ".".join(labels[-3 if is_deep else -2 :])


def _holds(
    quota: Quota, deeds: tuple[Deed, ...], hosts: tuple[str, ...], now: float
) -> Iterator[Hold]:
    recent = [deed for deed in deeds if now - quota.window_s < deed.at <= now]
    for subject, counted in _counted(quota.scope, recent, hosts):
        times = sorted(deed.at for deed in counted)
        if len(times) >= quota.count:
            yield Hold(times[-quota.count] + quota.window_s, quota, subject)


def _counted(
    scope: Scope, deeds: list[Deed], hosts: tuple[str, ...]
) -> Iterator[tuple[str, list[Deed]]]:
    """Yield each subject that an order for the hosts would touch, with what counts against it."""
    orders = [deed for deed in deeds if deed.kind is DeedKind.ORDER]
    match scope:
        case Scope.ORDERS:
            yield "", orders
        case Scope.EXACT_SET:
            yield ", ".join(hosts), [deed for deed in orders if deed.hosts == hosts]
        case Scope.REGISTERED_DOMAIN:
            for domain in sorted({registered_domain(host) for host in hosts}):
                yield (
                    domain,
                    [deed for deed in orders if domain in map(registered_domain, deed.hosts)],
                )
        case Scope.FAILURES:
            failures = [deed for deed in deeds if deed.kind is DeedKind.FAILURE]
            for host in hosts:
                yield host, [deed for deed in failures if host in deed.hosts]
