"""HAProxy by the operator's file."""

import pytest

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.control.configfile import parse_config
from onehop.control.planes import data_plane_version, make_driver, render_data_plane
from onehop.driver.haproxy import HaproxyDriver
from onehop.model.listener import ForwardHttp, ForwardUdp
from onehop.model.model import model_of
from onehop.model.pool import BackendProtocol, SourceIpPersistence
from tests.driver_envoy.world import (
    HTTPS,
    forward,
    host,
    identity,
    listener,
    pool,
    route,
    server_name,
    udp_listener,
)

pytestmark = pytest.mark.haproxy

TEXT = """
dataPlane:
  driver: haproxy
  haproxy: {threads: 2, maxConnections: 10, oldWorkerS: 60}
state: /tmp/onehop-state
"""


def test_the_file_says_how_haproxy_is_run() -> None:
    """All keys of its section."""
    driver = make_driver(parse_config(TEXT, name="test"))

    assert isinstance(driver, HaproxyDriver)
    assert driver.options.threads == 2
    assert driver.options.max_connections == 10
    assert driver.options.old_worker_s == 60
    assert str(driver.options.state_dir) == "/tmp/onehop-state/haproxy"  # noqa: S108


async def test_check_says_which_haproxy_it_is() -> None:
    """As `onehop check` prints it."""
    assert "HAProxy version" in await data_plane_version(parse_config(TEXT, name="test"))


def test_http3_is_refused_in_the_file() -> None:
    """Before anything is served, with the path of the key."""
    with pytest.raises(ConfigError, match=r"tls\.http3: dataPlane\.driver haproxy"):
        parse_config(f"{TEXT}tls: {{http3: true}}", name="test")


def test_what_is_rendered_has_no_keys_and_none_of_what_is_refused() -> None:
    """A certificate is a file name; UDP is left out."""
    site, udp = identity("site", "a.example"), pool("dns", protocol=BackendProtocol.UDP)
    web = pool()
    rows = (
        *(site.certificate, server_name("a.example", site), web, udp),
        listener(443, ForwardHttp(router=HTTPS, tls=True)),
        udp_listener(53, ForwardUdp(pool=udp.id)),
        host("a.example", route(forward(web)), router=HTTPS),
    )

    files = render_data_plane(model_of(rows), parse_config(TEXT, name="test"))

    text = str(files)
    assert "a.example" in text
    assert "PRIVATE KEY" not in text
    assert "BEGIN CERTIFICATE" not in text
    assert "shop_dns" not in text


ATTACHED = """
dataPlane:
  driver: haproxy
  haproxy: {master: /run/haproxy-master.sock, include: /etc/haproxy/onehop}
"""


def test_the_file_names_a_haproxy_of_the_operators() -> None:
    """Its folder takes the place of ours."""
    driver = make_driver(parse_config(ATTACHED, name="test"))

    assert isinstance(driver, HaproxyDriver)
    assert str(driver.options.state_dir) == "/etc/haproxy/onehop"
    assert driver.options.attached is not None
    assert str(driver.options.attached.master) == "/run/haproxy-master.sock"


def test_what_it_is_given_overrides_nothing_of_theirs() -> None:
    """Only what adds to `global`, and defaults that have a name; who we are to peers is theirs."""
    kept = pool(persistence=SourceIpPersistence())
    files = render_data_plane(model_of((kept,)), parse_config(ATTACHED, name="test"))

    text = "\n".join(files["haproxy.cfg"])
    settings = text.partition("\ndefaults onehop\n")[0].splitlines()
    assert settings[0] == "global"
    assert [line.split()[0] for line in settings[1:]] == ["expose-experimental-directives", "stats"]
    assert "\ndefaults\n" not in text
    assert "stick-table" in text
    assert "peer" not in text


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("master: /run/m.sock", "master and include belong together"),
        ("include: /etc/haproxy/onehop", "master and include belong together"),
        ("master: m.sock, include: /etc/o", r"haproxy\.master: 'm\.sock'; a path begins"),
        ("master: /run/m.sock, include: o", r"haproxy\.include: 'o'; a path begins"),
        ("master: /run/m.sock, include: /etc/o, threads: 2", "put nbthread, maxconn and hard"),
    ],
)
def test_keys_that_do_not_go_together_are_named(keys: str, said: str) -> None:
    """Before anything is served."""
    with pytest.raises(ConfigError, match=said):
        parse_config(f"dataPlane: {{driver: haproxy, haproxy: {{{keys}}}}}", name="test")


async def test_check_says_that_nobody_is_at_the_socket() -> None:
    """In words, with its path."""
    with pytest.raises(DriverUnavailable, match=r"master\.sock: No such file"):
        await data_plane_version(parse_config(ATTACHED, name="test"))
