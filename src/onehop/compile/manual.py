"""The manual of annotations, from the same table that parses them: it cannot be out of date."""

from collections.abc import Iterator
from typing import Final

from onehop.compile.annotation import ROUTES
from onehop.compile.options import ANNOTATION_PREFIX
from onehop.compile.vocabulary import ANNOTATIONS

_HEAD: Final = f"""\
# Annotations

Made from `compile/vocabulary.py` by `make golden`; do not edit.

All begin with `{ANNOTATION_PREFIX}`.
One that is unknown, stands on the wrong kind, or holds what it may not, changes nothing and is
reported on its object; everything else of the object is served.
Only what says who may come is taken at its strictest then: `allow-sources`, `deny-sources` and
`client-ca` let nobody in until they are understood.
What an Ingress or a route does not say, the Service behind it does.
A route's own fields go before its annotations.

| annotation | on | example | meaning |
|---|---|---|---|
"""


def annotations_manual() -> str:
    """Return `docs/annotations.md`."""
    return _HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    for name, known in ANNOTATIONS.items():
        on = ", ".join(sorted(known.on - ROUTES) if known.on >= ROUTES else sorted(known.on))
        on += ", all routes" if known.on >= ROUTES else ""
        yield f"`{name}`", on, f"`{known.example}`", known.means
