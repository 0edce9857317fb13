"""Certificates with their CA's OCSP answer, through a real HAProxy and OpenSSL's client."""

import datetime as dt
import os
import signal
from pathlib import Path
from typing import Final

import msgspec
import pytest
from cryptography.x509 import ocsp

from onehop.driver.haproxy import HaproxyOptions
from onehop.driver.haproxy.change import put_commands, reload_reasons
from onehop.driver.haproxy.render import render, render_files
from onehop.driver.haproxy.rendered import Rendered
from onehop.model.model import model_of
from tests.driver_envoy.world import (
    ADDRESS,
    connected,
    free_port,
    listener,
    trusting,
    until,
)
from tests.driver_haproxy.world import haproxy, offered
from tests.stapling.ca import HOUR, certificate_of
from tests.stapling.client import shown_status
from tests.stapling.stapled import CA, NAME, now, rows, stapled

pytestmark = pytest.mark.haproxy

OPTIONS: Final = HaproxyOptions(state_dir=Path("/state"))
REVOKED: Final = ocsp.OCSPCertStatus.REVOKED


async def test_an_answer_comes_changes_and_goes_without_a_reload() -> None:
    """With a certificate that is there, with another one, and with the one before again."""
    leaf, other, port = CA.leaf(NAME), CA.leaf(NAME), free_port()
    good = CA.says(leaf, now())
    revoked = CA.says(leaf, now(), status=REVOKED, revoked_at=now() - HOUR)
    steps = (
        (stapled(leaf, good), "good"),
        (stapled(leaf, revoked), "revoked"),
        (stapled(leaf, None), ""),
        (stapled(leaf, good), "good"),
        (stapled(other, None), ""),
        (stapled(other, CA.says(other, now())), "good"),
        (stapled(leaf, revoked), "revoked"),
        (stapled(leaf, None), ""),
    )
    async with haproxy() as world:
        await world.serve(*rows(stapled(leaf, None), port))
        async with connected(port, tls=trusting(CA.pem), sni=NAME) as client:
            assert await shown_status(ADDRESS, port, NAME) == ""
            for certificate, status in steps:
                await world.serve(*rows(certificate, port))
                assert await shown_status(ADDRESS, port, NAME) == status
            assert (await client.ask(NAME)).status == 200
        assert world.driver.reloads == 1, world.driver.last_reload
        assert world.driver.drifts == {}


async def test_a_name_that_comes_has_its_answer_at_once_and_its_next_life_none() -> None:
    """Nothing of what went is left for whoever has the same name later."""
    leaf, port = CA.leaf(NAME), free_port()
    certificate, name, *rest = rows(stapled(leaf, CA.says(leaf, now())), port)
    async with haproxy() as world:
        await world.serve(*rest)
        for shown, status in ((certificate, "good"), (stapled(leaf, None), "")):
            await world.serve(shown, name, *rest)
            assert await shown_status(ADDRESS, port, NAME) == status
            await world.serve(*rest)
        assert world.driver.reloads == 1, world.driver.last_reload


async def test_an_answer_is_there_after_a_reload_and_after_a_death() -> None:
    """It stands beside its certificate, until it goes with it."""
    leaf, port = CA.leaf(NAME), free_port()
    shown = rows(stapled(leaf, CA.says(leaf, now())), port)

    async def is_good() -> bool:
        return await shown_status(ADDRESS, port, NAME) == "good"

    async with haproxy(files_after_s=0.0) as world:
        folder = world.driver.options.state_dir
        await world.serve(*shown)
        await world.serve(*shown, listener(free_port()))
        assert world.driver.reloads == 2
        assert await is_good()
        assert world.driver.pid is not None
        os.kill(world.driver.pid, signal.SIGKILL)

        async def is_another() -> bool:
            return world.driver.describe()["restarts"] == "1"

        await until(is_another)
        await until(is_good)
        (beside,) = folder.glob("*.ocsp")
        assert beside.stat().st_mode & 0o777 == 0o600
        await offered(world, *rows(stapled(leaf, None), port))

        async def is_gone() -> bool:
            return not beside.exists()

        await until(is_gone)


async def test_an_answer_that_cannot_be_shown_harms_nobody() -> None:
    """HAProxy shows none with less than five minutes left, and none for another certificate."""
    leaf, port = CA.leaf(NAME), free_port()
    short = CA.says(leaf, now() - HOUR, lives=HOUR + dt.timedelta(seconds=60))
    async with haproxy() as world:
        await world.serve(*rows(stapled(leaf, None), port))
        for useless in (short, CA.says(CA.leaf(NAME), now())):
            await world.serve(*rows(stapled(leaf, useless), port))
            assert await shown_status(ADDRESS, port, NAME) == ""
        assert world.driver.reloads == 1, world.driver.last_reload
        await world.serve(*rows(stapled(leaf, CA.says(leaf, now())), port))
        assert await shown_status(ADDRESS, port, NAME) == "good"


async def test_an_answer_without_the_certificate_of_the_issuer_is_refused() -> None:
    """HAProxy has to know whose it is; the certificate that is to blame is named, and no other."""
    leaf, port = CA.leaf(NAME), free_port()
    alone = msgspec.structs.replace(certificate_of(leaf), ocsp=CA.says(leaf, now()))
    async with haproxy() as world:
        await world.serve(*rows(stapled(leaf, None), port))
        (refusal,) = (await world.offer(*rows(alone, port), listener(free_port()))).refused
        assert refusal.key.id == alone.id
        assert "the issuer could not be found" in refusal.reason


def commanded(have: Rendered, want: Rendered) -> tuple[list[str], list[str]]:
    """Return the first words of what is told, and the kinds of reasons for a reload."""
    told = [command.partition(" <<")[0] for command in put_commands(have, want)]
    return told, [reason.text.partition(" /")[0] for reason in reload_reasons(have, want)]


def test_what_is_too_long_for_a_command_is_read_from_its_file() -> None:
    """An answer may hold the certificate of whoever signed it, and a chain may be long."""
    leaf = CA.leaf(NAME)
    without, short, long = (
        render(model_of(rows(stapled(leaf, response), 443)), OPTIONS)
        for response in (None, b"short", b"x" * 20_000)
    )
    told, reasons = commanded(without, short)
    assert [each.partition(" /")[0] for each in told] == ["set ssl cert"] * 2 + ["commit ssl cert"]
    assert [each.endswith(".ocsp") for each in told] == [False, True, False]
    assert reasons == []
    assert commanded(short, short) == ([], [])
    assert commanded(without, long)[1] == ["new content of"]


def test_an_answer_is_not_printed() -> None:
    """It is no text."""
    shown = render_files(model_of(rows(stapled(CA.leaf(NAME), b"\x30\x82"), 443)), OPTIONS)

    assert not any(name.endswith(".ocsp") for name in shown)
