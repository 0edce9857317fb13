"""UDP flows that are to be looked at, because who may serve them has changed."""

import structlog

from onehop.driver.nftables.conntrack import forget_flows
from onehop.driver.nftables.element import Entrance
from onehop.model.address import IpAddr

log = structlog.get_logger(__name__)


class Flows:
    """Remembers entrances until their flows have been looked at."""

    def __init__(self) -> None:
        self._members: dict[Entrance, frozenset[tuple[IpAddr, int]]] = {}

    def note(self, entrance: Entrance, members: frozenset[tuple[IpAddr, int]]) -> None:
        """Say who may serve flows to an entrance from now on."""
        self._members[entrance] = members

    async def forget(self) -> None:
        """Forget flows to everybody else.

        Raises:
            DriverUnavailable: the kernel does not let us; they are remembered.
        """
        members, self._members = self._members, {}
        if not members:
            return
        try:
            count = await forget_flows(members)
        except BaseException:
            self._members = members | self._members
            raise
        if count:
            log.info("udp_flows_forgotten", count=count)
