"""When a certificate is renewed: pure, with the time and the dice as arguments."""

from typing import Final

from onehop.acme.leaf import Leaf
from onehop.acme.quota import DAY_S, HOUR_S
from onehop.acme.saved import Window

_SHORT_LIVED_S: Final = 10 * DAY_S
_ASK_AGAIN_S: Final = 6 * HOUR_S
"""Where the CA says nothing (RFC 9773, section 4.3.2 leaves it to us; certbot takes the same)."""
_ASK_AT_MOST_S: Final = DAY_S
_ASK_AT_LEAST_S: Final = 60.0
"""RFC 9773, section 4.3.2: Retry-After below a minute or above a day may be taken as that."""


def spread_of(leaf: Leaf) -> float:
    """Return the certificate's own number in [0, 1), uniformly distributed, always the same.

    RFC 9773 (section 4.2) has us choose a random time in the window. Were it chosen anew each time
    that we ask, the earliest choice would win; from the fingerprint it is chosen once.
    """
    return int(leaf.fingerprint[:12], 16) / 16**12


def due_at(leaf: Leaf, window: Window | None) -> float:
    """Return when to renew: within the CA's window, else after two thirds of the lifetime.

    Half the lifetime if that is below ten days (https://letsencrypt.org/docs/integration-guide/).
    Up to a twentieth of the lifetime earlier, so that certificates made together part ways.
    """
    spread = spread_of(leaf)
    if window is not None and window.start is not None and window.end is not None:
        return window.start + spread * max(0.0, window.end - window.start)
    lifetime_s = leaf.not_after - leaf.not_before
    share = 1 / 2 if lifetime_s < _SHORT_LIVED_S else 2 / 3
    return leaf.not_before + lifetime_s * (share - spread / 20)


def window_wanted(leaf: Leaf, window: Window | None, *, now: float) -> bool:
    """Tell whether the CA is to be asked about a certificate now (RFC 9773, section 4.3)."""
    if not leaf.renewal_id or now >= leaf.not_after:
        return False
    return window is None or window.certificate != leaf.renewal_id or now >= window.ask_again_at


def ask_again_after(retry_after_s: float | None) -> float:
    """Return how long not to ask about a certificate again."""
    wait_s = _ASK_AGAIN_S if retry_after_s is None else retry_after_s
    return min(max(wait_s, _ASK_AT_LEAST_S), _ASK_AT_MOST_S)
