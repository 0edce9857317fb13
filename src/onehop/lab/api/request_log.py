"""Who asked for what, how often: so that a test can say "and it wrote nothing"."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from onehop.lab.api.call import WRITES
from onehop.lab.api.refusal import Json


class Seen(msgspec.Struct, frozen=True):
    """One kind of request.

    Attributes:
        resource: its name, with `/status` behind it for the subresource.
        agent: the program's name: User-Agent up to the slash.
    """

    verb: str
    resource: str
    agent: str


class RequestLog:
    """Counts of the requests a server has got, refused ones included."""

    def __init__(self) -> None:
        self._counts: Counter[Seen] = Counter()

    def note(self, seen: Seen) -> None:
        """Count a request."""
        self._counts[seen] += 1

    def clear(self) -> None:
        """Begin to count anew."""
        self._counts.clear()

    def count(self, verb: str = "", resource: str = "", agent: str = "") -> int:
        """Return how many requests there were; "" means any."""
        return sum(number for _, number in self._matching(verb, resource, agent))

    def writes(self, *, resource: str = "", agent: str = "") -> int:
        """Return how many creates, updates, patches and deletes there were."""
        return sum(
            number for seen, number in self._matching("", resource, agent) if seen.verb in WRITES
        )

    def as_json(self) -> list[Json]:
        """Return the counts, most frequent first."""
        return [
            {"verb": seen.verb, "resource": seen.resource, "agent": seen.agent, "count": number}
            for seen, number in self._counts.most_common()
        ]

    def _matching(self, verb: str, resource: str, agent: str) -> Iterator[tuple[Seen, int]]:
        for seen, number in self._counts.items():
            wanted = zip(
                (verb, resource, agent), (seen.verb, seen.resource, seen.agent), strict=True
            )
            if all(asked in ("", has) for asked, has in wanted):
                yield seen, number
