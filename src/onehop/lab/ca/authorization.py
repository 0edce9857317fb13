"""Authorizations and their challenges: shown, taken up, given up (RFC 8555, section 7.5)."""

from typing import Any

import msgspec

from onehop.acme.protocol.wire import AuthorizationStatus, ChallengeStatus
from onehop.lab.ca.book import Authorization, Challenge, owned, thumbprint
from onehop.lab.ca.ca import Ca
from onehop.lab.ca.call import Call, Reply, stamp
from onehop.lab.ca.refusal import Refused, malformed, missing
from onehop.lab.ca.validation import Expected, look


class _Change(msgspec.Struct, frozen=True):
    status: str


def authorization(ca: Ca, call: Call) -> Reply:
    """Show an authorization, or give it up (section 7.5.2)."""
    mine = _own(ca, call)
    if call.payload:
        if call.read(_Change).status != "deactivated":
            raise malformed("status: an authorization can only become deactivated")
        mine.is_deactivated = True
    return Reply(_shown(ca, call, mine))


def challenge(ca: Ca, call: Call) -> Reply:
    """Show a challenge, or go and look whether it is met (section 7.5.1).

    To look takes as long as it takes; the client asks the authorization for what came of it.
    """
    mine = _own(ca, call)
    chosen = next((c for c in mine.challenges if c.type == call.parts["type"]), None)
    if chosen is None:
        raise missing("challenge")
    if call.payload and _is_open(ca, mine):
        call.read(dict[str, Any])
        chosen.status = ChallengeStatus.PROCESSING
        expected = Expected(
            host=mine.host, token=chosen.token, thumbprint=thumbprint(call.account.key)
        )
        ca.begin(_validate(ca, chosen, expected))
    up = f'<{call.base}/authorization/{mine.id}>;rel="up"'
    return Reply(_shown_challenge(call, mine, chosen), headers={"Link": up})


async def _validate(ca: Ca, challenge: Challenge, expected: Expected) -> None:
    try:
        await look(challenge.type, expected, ca.options)
    except Refused as refused:
        challenge.error, challenge.status = refused, ChallengeStatus.INVALID
    else:
        challenge.validated_at, challenge.status = ca.now(), ChallengeStatus.VALID


def _is_open(ca: Ca, authorization: Authorization) -> bool:
    """Whether nobody looks or has looked: each authorization gets one look, by one challenge."""
    is_pending = authorization.status(ca.now()) is AuthorizationStatus.PENDING
    return is_pending and all(
        each.status is ChallengeStatus.PENDING for each in authorization.challenges
    )


def _own(ca: Ca, call: Call) -> Authorization:
    found = ca.book.authorizations.get(call.parts["id"])
    return owned(found, call.account.id, "authorization")


def _shown(ca: Ca, call: Call, authorization: Authorization) -> dict[str, Any]:
    return {
        "identifier": {"type": "dns", "value": authorization.host},
        "status": authorization.status(ca.now()),
        "expires": stamp(authorization.expires_at),
        "challenges": [_shown_challenge(call, authorization, c) for c in authorization.challenges],
    }


def _shown_challenge(
    call: Call, authorization: Authorization, challenge: Challenge
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": challenge.type,
        "url": f"{call.base}/authorization/{authorization.id}/{challenge.type}",
        "status": challenge.status,
        "token": challenge.token,
    }
    if challenge.validated_at is not None:
        shown["validated"] = stamp(challenge.validated_at)
    if challenge.error is not None:
        shown["error"] = challenge.error.document()
    return shown
