"""The kinds that come with network plugins and with Gateway API: a cluster may have none."""

from typing import Final

import msgspec

from onehop.cluster import Kind


class CustomKinds(msgspec.Struct, frozen=True, kw_only=True):
    """Which of them are read.

    A cluster without the plugin answers 404: then there is nothing of that kind, until it comes.

    Attributes:
        needed: what the configuration names; nothing begins before it has been read.
        welcome: what is used where it is there; a missing right to read it is told, and no more.
        discovered: like `welcome`, but not even asked for before discovery shows it, and read in
            the newest version that it shows.
    """

    needed: frozenset[Kind] = frozenset()
    welcome: frozenset[Kind] = frozenset()
    discovered: frozenset[Kind] = frozenset()

    @property
    def all(self) -> frozenset[Kind]:
        """What is asked for in any case."""
        return self.needed | self.welcome


NONE: Final = CustomKinds()
