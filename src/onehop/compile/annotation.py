"""One annotation: what it may hold, and what is said of one that is not understood."""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from onehop.compile.options import ANNOTATION_PREFIX
from onehop.model.address import Cidr
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity, quoted

ROUTES: Final = frozenset(("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"))
WITH_BACKENDS: Final = frozenset(("Service", "Ingress")) | ROUTES
"""Kinds of objects that say how endpoints are treated."""

_KEY: Final = re.compile(r"[A-Za-z0-9._/-]{1,100}")


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """What one annotation may hold and where it may stand.

    Attributes:
        parse: raises ValueError with what is allowed.
        example: a value that parses.
        on: kinds of objects that may carry it.
        otherwise: what counts in place of a value that is not understood, for a demand that a slip
            of the pen must not waive; None is as if nothing had been said.
        effect: what such a value comes to.
    """

    parse: Callable[[str], Any]
    example: str
    means: str
    on: frozenset[str] = WITH_BACKENDS
    otherwise: str | tuple[Cidr, ...] | None = None
    effect: str = "changes nothing"


class Said(msgspec.Struct, frozen=True):
    """An annotation as it stands on an object, in one of the fields that hold annotations."""

    subject: ObjectRef
    key: str
    text: str
    field: str = "metadata.annotations"

    def misunderstood(self, known: Annotation, allowed: str) -> Problem:
        """Return the Problem of a value that does not parse."""
        message = f"{quoted(self.text)} is not understood and {known.effect}; allowed is {allowed}"
        return self._problem(Reason.INVALID_ANNOTATION, message)

    def unknown(self, known: Annotation | None, every: Mapping[str, Annotation]) -> Problem:
        """Return the Problem of an annotation that nobody knows, or on the wrong kind."""
        if known is not None:
            where = ", ".join(sorted(known.on))
            message = f"{quoted(self.text)} changes nothing here; it belongs on: {where}"
        else:
            here = [name for name, item in every.items() if self.subject.kind in item.on]
            meant = difflib.get_close_matches(
                self.key.removeprefix(ANNOTATION_PREFIX)[:80], here, n=1
            )
            hint = f"did you mean {ANNOTATION_PREFIX}{meant[0]}?" if meant else "see the manual"
            message = (
                f"{quoted(self.text)} changes nothing, as this annotation is not known; {hint}"
            )
        return self._problem(Reason.UNKNOWN_ANNOTATION, message)

    def _problem(self, reason: Reason, message: str) -> Problem:
        shown = self.key if _KEY.fullmatch(self.key) else quoted(self.key)
        return Problem(
            subject=self.subject,
            field=f"{self.field}[{shown}]",
            reason=reason,
            message=f"{shown}: {message}",
            severity=Severity.WARNING,
        )
