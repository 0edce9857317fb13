"""The guide's table of the features of Gateway API by data plane, made from what they need."""

from typing import Final

from onehop.compile.gateway.feature import NEEDS
from onehop.control.abilities import DATA_PLANES
from onehop.driver.capability import FEATURES, Capability, Shortcomings, Support

BEGIN: Final = "<!-- made by `make golden` from src/onehop/compile/gateway/feature.py -->"
END: Final = "<!-- end of what is made -->"

_CORES: Final = ("BackendTLSPolicy", "GRPCRoute", "Gateway", "HTTPRoute", "TLSRoute")
_WORDS: Final = {each: words for part in FEATURES.values() for each, words in part.items()}


def table() -> str:
    """Return the table, with a footnote for all that a data plane lacks or has in part."""
    notes: dict[str, int] = {}
    lines = [BEGIN, "", f"| | {' | '.join(DATA_PLANES)} |", "|---" * (1 + len(DATA_PLANES)) + "|"]
    for feature in NEEDS:
        cells = (_cell(feature, name, lacks, notes) for name, lacks in DATA_PLANES.items())
        lines.append(f"| `{feature}` | {' | '.join(cells)} |")
    numbered = (f"{number}. {words}" for words, number in notes.items())
    return "\n".join([*lines, "", "### Notes", "", *numbered, "", END])


def with_table(page: str) -> str:
    """Return a page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{table()}{after}"


def _cell(feature: str, name: str, lacks: Shortcomings, notes: dict[str, int]) -> str:
    """Return whether a data plane has a feature, and what is to be known beyond its core."""
    found = {each: lacks[each] for each in NEEDS[feature] if each in lacks}
    missing = {each: support for each, support in found.items() if not support.suffices}
    core = next((each for each in _CORES if feature.startswith(each) and feature != each), "")
    own = (missing or found).keys() - NEEDS.get(core, ())
    shown = own or missing.keys()
    told = [_told(name, each, found[each]) for each in NEEDS[feature] if each in shown]
    numbers = (notes.setdefault(each, len(notes) + 1) for each in told)
    marks = ", ".join(f"[{number}](#notes)" for number in numbers)
    return " ".join(filter(None, ("no" if missing else "yes", marks)))


def _told(name: str, capability: Capability, support: Support) -> str:
    words = f"{name}, {_WORDS[capability]}: {support.words}"
    return words + (f". That suffices: {support.suffices}." if support.suffices else ".")
