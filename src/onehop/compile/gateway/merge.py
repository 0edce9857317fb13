"""All listeners of a Gateway, its ListenerSets' included: which of them can be told apart.

"Implementations MUST treat the parent Gateway as having the merged list of all listeners from
itself and attached ListenerSets", in order of precedence: the Gateway, then the ListenerSets by age
and by name (`apis/v1/listenerset_types.go`, ListenerSetSpec.Listeners).

Within one object nobody wins: "ALL indistinct Listeners must not be accepted for processing"
(GatewaySpec.Listeners, "Handling indistinct Listeners"). Between objects the earlier one does: "the
first Listener on the precedence list MUST be accepted" (GEP-1713, "Listener and ListenerSet
conflicts"), so nobody who adds listeners can take away what others have.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.listener import ListenerIntent, Protocol
from onehop.model.listener import Transport
from onehop.model.problem import quoted

_Socket: TypeAlias = tuple[int, Transport]


class Merge:
    """Takes in the listeners of one object after the other, those that go first before the rest."""

    def __init__(self) -> None:
        self._families: dict[_Socket, dict[Protocol, ListenerIntent]] = {}
        self._names: dict[tuple[_Socket, str], ListenerIntent] = {}

    def take(self, listeners: Sequence[ListenerIntent]) -> tuple[ListenerIntent, ...]:
        """Return the listeners of an object as they are beside all that came before."""
        displaced = {
            each.name: conflict
            for each in listeners
            if each.has_place and (conflict := self._earlier(each)) is not None
        }
        standing = [each for each in listeners if each.has_place and each.name not in displaced]
        judged = tuple(
            _judged(each, displaced.get(each.name) or _beside(each, standing)) for each in listeners
        )
        for each in standing:
            for socket, protocol in _sockets(each):
                self._families.setdefault(socket, {}).setdefault(protocol.family, each)
                self._names.setdefault((socket, each.hostname), each)
        return judged

    def _earlier(self, listener: ListenerIntent) -> Saying | None:
        """Return why an earlier object's listener has what this one is for, or None.

        Whose that is remains untold: "Implementations SHOULD be cautious about what information
        from the parent or siblings are reported".
        """
        for socket, protocol in _sockets(listener):
            families = self._families.get(socket, {})
            rival = self._names.get((socket, listener.hostname))
            is_other = rival is not None and rival.protocol is not protocol
            if is_other or any(family is not protocol.family for family in families):
                what = f"port {listener.port} speaks another protocol for one who was there before"
                return Saying("Conflicted", Truth.TRUE, "ProtocolConflict", what)
            if rival is not None:
                what = "one who was there before has the same port and hostname"
                return Saying("Conflicted", Truth.TRUE, "HostnameConflict", what)
        return None


def _sockets(listener: ListenerIntent) -> Iterator[tuple[_Socket, Protocol]]:
    if listener.protocol is not None:
        yield (listener.port, listener.protocol.transport), listener.protocol


def _beside(listener: ListenerIntent, others: Iterable[ListenerIntent]) -> Saying | None:
    """Return why a listener cannot be told from another one of the same object, or None.

    A port speaks one protocol over TCP, and beside it UDP; TLS that ends here and TLS that does not
    are one, for clients say a name before either. Listeners of such ports differ by hostname; if
    they do not, a port and a hostname have two protocols.
    """
    own = listener.protocol
    for other in others:
        theirs = other.protocol
        if other.name == listener.name or other.port != listener.port or not (own and theirs):
            continue
        if theirs.transport is not own.transport:
            continue
        is_same_host = other.hostname == listener.hostname
        if theirs.family is not own.family or (is_same_host and theirs is not own):
            what = f"port {listener.port} speaks {quoted(theirs.value)} for {quoted(other.name)}"
            return Saying("Conflicted", Truth.TRUE, "ProtocolConflict", what)
        if is_same_host:
            what = f"{quoted(other.name)} has the same port and hostname; neither is served"
            return Saying("Conflicted", Truth.TRUE, "HostnameConflict", what)
    return None


def _judged(listener: ListenerIntent, conflict: Saying | None) -> ListenerIntent:
    """Return a listener with its conflict: `Accepted` has the reason of `Conflicted`.

    Conformance tests ListenerSetHostnameConflict and ListenerSetProtocolConflict, v1.6.
    """
    if conflict is None or not listener.is_accepted:
        return listener
    accepted = Saying("Accepted", Truth.FALSE, conflict.reason, conflict.message)
    _, _, refs = listener.sayings
    return msgspec.structs.replace(listener, sayings=(accepted, conflict, refs), is_accepted=False)
