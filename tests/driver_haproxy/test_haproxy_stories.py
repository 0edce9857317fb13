"""What HAProxy gets for the stories of `tests/scenarios`."""

from pathlib import Path

import pytest

from onehop.driver.haproxy import HaproxyOptions
from onehop.driver.haproxy.render import render_files
from tests.driver_haproxy.world import complaints
from tests.golden import check_golden
from tests.test_scenarios import STORIES, settled

pytestmark = pytest.mark.haproxy

GOLDEN = Path(__file__).parent / "golden"
SHOWN = (
    "annotation-balancing",
    "annotation-headers",
    "annotation-health-check",
    "annotation-limits",
    "annotation-persistence",
    "challenges-by-alpn",
    "client-address-proxy-protocol",
    "client-certificates",
    "gateway-backend-client-certificate",
    "gateway-backend-tls",
    "gateway-client-certificates",
    "gateway-cors",
    "gateway-misdirected-requests",
    "gateway-precedence",
    "gateway-redirects",
    "gateway-retries",
    "gateway-stream-weights",
    "gateway-tls-passthrough",
    "gateway-tls-terminate",
    "gateway-weights",
    "ingress-no-redirect-unless-asked",
    "tls-by-server-name",
    "tls-passthrough",
)
OPTIONS = HaproxyOptions(state_dir=Path("/var/lib/onehop/haproxy"))


@pytest.mark.parametrize("name", SHOWN)
def test_haproxy_gets_what_the_golden_file_says(name: str) -> None:
    """The configuration, the maps and the lists of certificates; of keys, only that they are."""
    (folder,) = (story for story in STORIES if story.name == name)
    files = render_files(settled(folder).model(), OPTIONS)

    text = "".join(f"==> {file} <==\n{content}\n" for file, content in sorted(files.items()))

    check_golden(GOLDEN / f"{name}.txt", text)


@pytest.mark.parametrize("folder", STORIES, ids=lambda folder: folder.name)
def test_haproxy_takes_every_story(folder: Path) -> None:
    """What we think is a configuration passes the parser that has to read it."""
    assert complaints(settled(folder).model()) == ""
