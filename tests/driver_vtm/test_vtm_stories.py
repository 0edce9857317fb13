"""What a vTM gets for the stories of `tests/scenarios`."""

from pathlib import Path

import pytest

from onehop.driver.vtm import render_model
from onehop.lab.vtm.trafficscript import understand
from tests.driver_vtm.stage import OWNER
from tests.golden import check_golden
from tests.test_scenarios import STORIES, settled

GOLDEN = Path(__file__).parent / "golden"
SHOWN = (
    "annotation-headers",
    "gateway-cors",
    "gateway-matches",
    "gateway-redirects",
    "gateway-rewrites",
    "gateway-weights",
    "ingress-precedence",
)


def rules_of(folder: Path) -> dict[str, str]:
    rules: dict[str, str] = render_model(settled(folder).model(), owner=OWNER).get("rules", {})
    return rules


@pytest.mark.parametrize("name", SHOWN)
def test_the_rules_are_what_the_golden_file_says(name: str) -> None:
    """The texts of all rules, as they are written to the unit."""
    (folder,) = (story for story in STORIES if story.name == name)

    text = "".join(f"==> {rule} <==\n{said}\n" for rule, said in sorted(rules_of(folder).items()))

    check_golden(GOLDEN / f"{name}.txt", text)


@pytest.mark.parametrize("folder", STORIES, ids=lambda folder: folder.name)
def test_the_rules_of_every_story_are_understood(folder: Path) -> None:
    """What we think is TrafficScript passes the parser that knows it, function by function."""
    for text in rules_of(folder).values():
        understand(text)
