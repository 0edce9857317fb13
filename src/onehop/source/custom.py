"""The kinds that come with network plugins: a cluster has those of one plugin, or none."""

from typing import Final

import msgspec

from onehop.cluster import Kind


class CustomKinds(msgspec.Struct, frozen=True, kw_only=True):
    """Which of them are read.

    A cluster without the plugin answers 404: then there is nothing of that kind, until it comes.

    Attributes:
        needed: what the configuration names; nothing begins before it has been read.
        welcome: what is used where it is there; a missing right to read it is told, and no more.
    """

    needed: frozenset[Kind] = frozenset()
    welcome: frozenset[Kind] = frozenset()

    @property
    def all(self) -> frozenset[Kind]:
        """Both."""
        return self.needed | self.welcome


NONE: Final = CustomKinds()
