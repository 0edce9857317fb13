"""When a complete list may be believed that something is gone.

Controllers have deleted whole load balancers because one list came back empty: from a server
without its etcd, from behind a proxy, from another cluster, with rights that had shrunk. So what
only a list says has to hold when the objects are asked for by name, and what is too much for an
ordinary day has to be said for a while first. A DELETED event needs none of this.
"""

import msgspec

from onehop.base.errors import KubeUnavailable, RejectedError
from onehop.cluster.kind import ClusterObject
from onehop.kube import Collection
from onehop.source.identity import Sameness
from onehop.source.ledger import Key
from onehop.source.surroundings import Surroundings


class Verdict(msgspec.Struct, frozen=True):
    """What to do with a list.

    Attributes:
        takes_writes: the objects in it are ours to take.
        takes_absence: what is not in it is gone.
        reason: why not, for the operator; empty when the list is believed in full.
    """

    takes_writes: bool = True
    takes_absence: bool = True
    reason: str = ""


class _Doubt(msgspec.Struct, frozen=True):
    missing: frozenset[Key]
    since: float


class Judge:
    """Rules on the lists of one collection, one after the other."""

    def __init__(self, collection: Collection[ClusterObject], around: Surroundings) -> None:
        self._collection = collection
        self._client = around.client
        self._identity = around.identity
        self._limits = around.limits
        self._clock = around.clock
        self._random = around.random
        self._doubt: _Doubt | None = None

    async def rule(self, missing: frozenset[Key], held: int) -> Verdict:
        """Rule on a complete list.

        Args:
            missing: what is held and not in the list.
            held: how much is held.

        Raises:
            KubeUnavailable: the API could not be asked; the list is neither believed nor doubted.
        """
        if not missing:
            self._doubt = None
            return Verdict()
        sameness = await self._identity.compare()
        if sameness is Sameness.OTHER:
            self._doubt = None
            return Verdict(
                takes_writes=False,
                takes_absence=False,
                reason="the API server is of another cluster than before; what is known is kept. "
                "Correct the kubeconfig, or restart onehop if this is meant",
            )
        reason = self._wait(missing, held) or await self._contradiction(missing, sameness)
        if not reason:
            self._doubt = None
            return Verdict()
        return Verdict(
            takes_absence=False,
            reason=f"{len(missing)} of {held} objects are missing from a complete list and are "
            f"kept, for {reason}",
        )

    def _wait(self, missing: frozenset[Key], held: int) -> str:
        """Return why it is too early to ask by name; empty when it is not."""
        if not self._is_suspicious(len(missing), held):
            self._doubt = None
            return ""
        now = self._clock()
        if self._doubt is None or self._doubt.missing != missing:
            self._doubt = _Doubt(missing, now)
        if now - self._doubt.since >= self._limits.confirm_s:
            return ""
        return f"the lists have not yet agreed on that for {self._limits.confirm_s:g} s"

    def _is_suspicious(self, missing: int, held: int) -> bool:
        return missing == held or (
            missing > self._limits.few and missing > self._limits.share * held
        )

    async def _contradiction(self, missing: frozenset[Key], sameness: Sameness) -> str:
        """Ask for some of the missing objects by name; return what speaks against their absence."""
        sample = self._random.sample(sorted(missing), min(len(missing), self._limits.sample))
        for namespace, name in sample:
            try:
                found = await self._client.find(self._collection, namespace, name)
            except KubeUnavailable:
                raise
            except RejectedError as error:
                self._doubt = None
                return f"their absence cannot be confirmed ({error})"
            if found is not None:
                self._doubt = None
                return f"{namespace or 'the cluster'}/{name} is still there when asked for by name"
        if sameness is Sameness.UNKNOWN:
            return await self._missing_namespace({namespace for namespace, _ in sample})
        return ""

    async def _missing_namespace(self, namespaces: set[str]) -> str:
        """Ask for something that must be there, lest a server that knows nothing confirm that."""
        for name in sorted(namespaces - {""}):
            if not await self._identity.has_namespace(name):
                self._doubt = None
                return f"the API server does not know the namespace {name} either"
        return ""
