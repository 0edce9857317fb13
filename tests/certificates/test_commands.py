"""`onehop cert` on a host whose onehop says what these tests have it say."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import pytest

from onehop.acme.state import Phase
from onehop.base.errors import ConfigError, TransientError
from onehop.cli import cert
from onehop.control.certificates.facts import CertificateFacts
from onehop.control.certificates.renewal import renew
from onehop.control.certificates.report import CertificateList, HostStory, Renewal
from onehop.control.certificates.table import make_list
from onehop.control.certificates.why import Scene, tell
from onehop.control.config import Config
from onehop.control.configfile import control_socket
from onehop.control.overview import Overview
from onehop.web.app import make_control_app
from onehop.web.server import serve_unix
from tests.certificates.known import (
    AWAY,
    DAY_S,
    HOST,
    NOW,
    certificate_of_story,
    facts_of,
    scene_of_story,
    state,
)

GOOD: Final = certificate_of_story("tls-by-server-name", "shop")
VALID: Final = facts_of(
    at=state(Phase.VALID, renews_at=NOW + DAY_S, fingerprint=GOOD.fingerprint), shown=GOOD
)
STUCK: Final = facts_of(at=state(Phase.REFUSED, next_at=NOW + 3600, last_error="the CA said no"))
LED: Final = facts_of(shown=GOOD, leader=AWAY)


class _Saying:
    """The part of an Overview that is about certificates."""

    def __init__(self) -> None:
        self.facts = VALID
        self.scene: Scene = scene_of_story("tls-by-server-name")
        self.renewed: list[tuple[str, ...]] = []

    def certificates(self) -> CertificateList:
        return make_list(self.facts)

    def why(self, host: str) -> HostStory:
        return tell(self.scene, host)

    def renew(self, names: tuple[str, ...], *, spares_valid: bool) -> Renewal:
        self.renewed.append(names)
        return renew(self.facts, names, begin=lambda _: True, spares_valid=spares_valid)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(state=str(tmp_path))


@pytest.fixture
async def saying(config: Config) -> AsyncGenerator[_Saying]:
    """What answers on the control socket."""
    saying = _Saying()
    overview = cast("Overview", saying)  # the rest is not asked for
    async with serve_unix(make_control_app(overview), control_socket(config)):
        yield saying


async def test_a_list_of_good_ones_is_fine(
    saying: _Saying, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0; a secret, its host, its issuer."""
    assert saying.facts is VALID
    assert await cert.list_all(config, as_json=False)
    assert "shop/web-tls" in capsys.readouterr().out


@pytest.mark.parametrize("facts", [STUCK, facts_of(is_asked=False)])
async def test_a_list_with_a_bad_one_fails(
    saying: _Saying, config: Config, facts: CertificateFacts
) -> None:
    """Exit code 1, for scripts that watch."""
    saying.facts = facts

    assert not await cert.list_all(config, as_json=False)
    assert not await cert.show(config, HOST, as_json=False)


@pytest.mark.parametrize("name", ["shop/web-tls", HOST])
async def test_one_is_shown_by_its_secret_or_a_host(
    saying: _Saying, config: Config, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it, as text and as JSON."""
    assert saying.facts is VALID
    assert await cert.show(config, name, as_json=False)
    assert "SHA-256" in capsys.readouterr().out
    assert await cert.show(config, name, as_json=True)
    (shown,) = json.loads(capsys.readouterr().out)["certificates"]
    assert shown["secret"] == "shop/web-tls"


async def test_a_name_that_nobody_has_is_wrong_use(saying: _Saying, config: Config) -> None:
    """Exit code 2, and where to look."""
    assert saying.facts is VALID
    with pytest.raises(ConfigError, match="no Secret with a certificate"):
        await cert.show(config, "shop/other", as_json=False)


@pytest.mark.parametrize("host", ["", "shop/web-tls", "https://shop.example.com"])
async def test_why_takes_hosts_only(config: Config, host: str) -> None:
    """Exit code 2, before anybody is asked."""
    with pytest.raises(ConfigError, match="is no host name"):
        await cert.why(config, host, as_json=False)


async def test_why_ends_as_the_story_does(
    saying: _Saying, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 for a host that is as it should be, 1 for one that is not; the same as JSON."""
    assert saying.renewed == []
    assert await cert.why(config, "shop.example.com", as_json=False)
    assert "clients see a valid certificate" in capsys.readouterr().out
    assert not await cert.why(config, "x.test", as_json=True)
    assert json.loads(capsys.readouterr().out)["host"] == "x.test"


async def test_a_host_that_does_not_lead_names_the_one_that_does(
    saying: _Saying, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is known here is printed, and it is a failure: the rest is known elsewhere."""
    saying.facts = LED
    saying.scene = scene_of_story("certificate-demands", leader=AWAY)

    assert not await cert.list_all(config, as_json=False)
    assert not await cert.show(config, HOST, as_json=False)
    assert not await cert.why(config, "default.example.com", as_json=False)
    assert not await cert.renew(config, [HOST], renews_all=False, as_json=False)
    assert not await cert.issue(config, [], as_json=True)

    said = capsys.readouterr()
    assert (
        said.err.splitlines()
        == ["onehop: lb2 leads and orders certificates; ask the onehop there"] * 5
    )
    assert "2124-01-01" in said.out


async def test_renewing_says_what_has_begun(
    saying: _Saying, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name, or all; a wrong name fails, and the right ones beside it are renewed."""
    assert await cert.renew(config, [], renews_all=True, as_json=False)
    assert not await cert.renew(config, [HOST, "b.test"], renews_all=False, as_json=False)

    said = capsys.readouterr()
    assert said.out.count("shop/web-tls: begun") == 2
    assert "no certificate is asked for b.test" in said.err
    assert saying.renewed == [(), (HOST, "b.test")]


@pytest.mark.parametrize(("names", "renews_all"), [([], False), ([HOST], True)])
async def test_renewing_needs_names_or_all(
    config: Config, names: list[str], *, renews_all: bool
) -> None:
    """Exit code 2: nobody renews everything by a slip."""
    with pytest.raises(ConfigError, match="--all"):
        await cert.renew(config, names, renews_all=renews_all, as_json=False)


async def test_issuing_tries_again_what_is_stuck(
    saying: _Saying, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing else; what is valid already is no failure."""
    assert await cert.issue(config, [HOST], as_json=False)
    assert await cert.issue(config, [], as_json=False)
    saying.facts = STUCK
    assert await cert.issue(config, [HOST], as_json=True)

    said = capsys.readouterr()
    assert "is valid; `onehop cert renew`" in said.err
    assert "nothing to do" in said.out
    done: Any = msgspec.json.decode(said.out.splitlines()[-1], type=Renewal)
    assert done.begun == ("shop/web-tls",)


async def test_nobody_answers(config: Config) -> None:
    """Exit code 1, and where it was looked."""
    with pytest.raises(TransientError, match="no onehop answers"):
        await cert.list_all(config, as_json=False)
