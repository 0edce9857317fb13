"""Certificates with their CA's OCSP answer, through a real Envoy and OpenSSL's client."""

import datetime as dt

import pytest
from cryptography.x509 import ocsp

from onehop.driver.envoy.tls import certificate_pair
from tests.driver_envoy.world import (
    ADDRESS,
    connected,
    envoy,
    free_port,
    trusting,
    until,
)
from tests.stapling.ca import HOUR
from tests.stapling.client import shown_status
from tests.stapling.stapled import CA, NAME, now, rows, stapled

pytestmark = pytest.mark.envoy


async def test_an_answer_comes_and_goes_without_dropping_a_connection() -> None:
    """It is part of the certificate, which travels by SDS."""
    leaf, port = CA.leaf(NAME), free_port()
    async with envoy() as world:
        await world.serve(*rows(stapled(leaf, None), port))
        async with connected(port, tls=trusting(CA.pem), sni=NAME) as client:
            assert await shown_status(ADDRESS, port, NAME) == ""

            await world.serve(*rows(stapled(leaf, CA.says(leaf, now())), port))
            assert await shown_status(ADDRESS, port, NAME) == "good"

            at = now() - HOUR
            status = ocsp.OCSPCertStatus.REVOKED
            revoked = CA.says(leaf, now(), status=status, revoked_at=at)
            await world.serve(*rows(stapled(leaf, revoked), port))
            assert await shown_status(ADDRESS, port, NAME) == "revoked"

            await world.serve(*rows(stapled(leaf, None), port))
            assert await shown_status(ADDRESS, port, NAME) == ""
            assert (await client.ask(NAME)).status == 200


async def test_envoy_itself_shows_no_answer_that_has_run_out() -> None:
    """So nothing false is shown even if we are not there to take it back."""
    leaf, port = CA.leaf(NAME), free_port()
    async with envoy() as world:
        for left_s in (3, 6, 12, 24):  # a slow machine sees none that has but a moment left
            lives = HOUR + dt.timedelta(seconds=left_s)
            await world.serve(*rows(stapled(leaf, CA.says(leaf, now() - HOUR, lives=lives)), port))
            shown = await shown_status(ADDRESS, port, NAME)
            if shown:
                break
        assert shown == "good"

        async def has_vanished() -> bool:
            return await shown_status(ADDRESS, port, NAME) == ""

        await until(has_vanished, 60.0)


async def test_envoy_takes_no_certificate_that_demands_an_answer_and_has_none() -> None:
    """Clients would wait in vain: so compile withholds it. With the answer it is shown."""
    leaf, port = CA.leaf(NAME, must_staple=True), free_port()
    good = rows(stapled(leaf, CA.says(leaf, now())), port)
    async with envoy() as world:
        await world.serve(*good)
        assert await shown_status(ADDRESS, port, NAME) == "good"

        receipt = await world.offer(*rows(stapled(leaf, None), port))
        (refusal,) = receipt.refused
        assert "required for must-staple" in refusal.reason

        await world.serve(*good)
        assert await shown_status(ADDRESS, port, NAME) == "good"


def test_a_rendered_configuration_for_people_has_no_answer() -> None:
    """It is a few hundred bytes that nobody can read."""
    leaf = CA.leaf(NAME)

    assert "ocsp_staple" not in certificate_pair(stapled(leaf, b"x"), redact=True)
    assert "ocsp_staple" in certificate_pair(stapled(leaf, b"x"), redact=False)
