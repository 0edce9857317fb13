"""A reader who follows a link arrives."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_resolves(page: Path) -> None:
    """The file is there, and so is the heading."""
    missing = []
    for target in links(page):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)

    assert missing == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    """Nobody has to guess from file names what was decided."""
    folder = ROOT / "docs" / "adr"
    listed = set(links(folder / "README.md"))

    assert listed == {file.name for file in folder.glob("[0-9]*.md")}


def test_every_page_of_the_guide_is_in_its_list() -> None:
    """The guide's first page leads to all others."""
    folder = ROOT / "docs" / "guide"
    listed = {target for target in links(folder / "README.md") if "/" not in target}

    assert listed == {file.name for file in folder.glob("*.md")} - {"README.md"}
