"""The guide's table of what each data plane can do, made from their declarations."""

from collections.abc import Iterator
from typing import Final

from onehop.control.abilities import DATA_PLANES, IN_KERNEL
from onehop.driver.capability import FEATURES, Capability, Extent, Shortcomings, capabilities_of

BEGIN: Final = "<!-- made by `make golden` from src/onehop/driver/*/support.py; do not edit -->"
END: Final = "<!-- end of what is made -->"

_KERNEL: Final = "kernel"


def matrix() -> str:
    """Return the tables, chapter by chapter, with a footnote for each "no" and "partly"."""
    planes = {**DATA_PLANES, _KERNEL: IN_KERNEL}
    notes: dict[str, int] = {}
    lines = [BEGIN, ""]
    for chapter, features in FEATURES.items():
        lines += [f"### {chapter}", "", f"| | {' | '.join(planes)} |", "|---" * 5 + "|"]
        for capability, words in features.items():
            cells = (_cell(capability, name, lacks, notes) for name, lacks in planes.items())
            lines.append(f"| {words} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["### Notes", "", *_footnotes(notes), "", END]
    return "\n".join(lines)


def with_matrix(page: str) -> str:
    """Return a page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{matrix()}{after}"


def _cell(capability: Capability, name: str, lacks: Shortcomings, notes: dict[str, int]) -> str:
    support = lacks.get(capability)
    if support is None:
        return "yes"
    number = notes.setdefault(support.words, len(notes) + 1)
    is_left = name == _KERNEL and support.extent is Extent.NO and _has_a_proxy(capability)
    return f"{'proxy' if is_left else support.extent} [{number}](#notes)"


def _has_a_proxy(capability: Capability) -> bool:
    return any(capability in capabilities_of(lacks) for lacks in DATA_PLANES.values())


def _footnotes(notes: dict[str, int]) -> Iterator[str]:
    for words, number in notes.items():
        is_name = words.startswith(("vTM", "onehop"))
        yield f"{number}. {words if is_name else words[0].upper() + words[1:]}."
