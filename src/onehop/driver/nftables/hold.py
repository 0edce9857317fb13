"""A table that nobody but this process can touch, and that goes when the process goes.

Connections are tracked and translated as long as there is a rule that asks for the one, and a chain
of type `nat` for the other. When `nft flush ruleset` takes the last of these away, packets of open
connections come as they are: they meet no socket here, and the answer is a RST. So there is one
more such chain with one such rule, in a table with an owner (`NFT_TABLE_F_OWNER`, Linux 5.12),
which a flush by others passes over. Then only new connections notice, until our rules are back.

The kernel lets one process own it: a second onehop on the same host finds it taken.
"""

import errno
from typing import Final

from onehop.base import nlmsg
from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.base.nlmsg import Request
from onehop.driver.nftables import wire
from onehop.driver.nftables.advice import NO_RIGHT
from onehop.driver.nftables.channel import Channel, Refused
from onehop.driver.nftables.netlink import SUBSYSTEM
from onehop.driver.nftables.ruleset import HOLD_TABLE

_NEW_TABLE, _GET_TABLE, _NEW_CHAIN, _NEW_RULE = (SUBSYSTEM | each for each in (0, 1, 3, 6))
_TABLE_NAME, _TABLE_FLAGS, _TABLE_OWNER = 1, 2, 7
_OWNED: Final = 2
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE = 1, 3, 4, 7
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_ONE_OF_LIST: Final = 1
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_CT_REGISTER, _CT_KEY, _CT_STATE = 1, 2, 0
_PREROUTING, _PRIORITY = 0, -105
_CHAIN: Final = "nat-prerouting"


class Hold(Channel):
    """Keeps translation on for as long as it is open."""

    async def take(self) -> bool:
        """Make the table; return whether this kernel can.

        Raises:
            ConfigError: this process may not.
            DriverUnavailable: another process has it.
        """
        name = nlmsg.attribute(_TABLE_NAME, wire.text(HOLD_TABLE))
        flags = nlmsg.attribute(_TABLE_FLAGS, wire.U32.pack(_OWNED))
        try:
            self.transact((Request(_NEW_TABLE, nlmsg.CREATE, name + flags), _chain(), _rule()))
        except Refused as refused:
            if refused.code == errno.EPERM:
                raise await self._not_ours(name) from refused
            return False
        return True

    async def _not_ours(self, name: bytes) -> Exception:
        try:
            found = await self.ask(_GET_TABLE, nlmsg.ACK, name)
        except Refused:
            return ConfigError(f"layer 4 in the kernel: {NO_RIGHT}")
        owner = nlmsg.attributes(found[0].body).get(_TABLE_OWNER, bytes(4))
        return DriverUnavailable(
            "another process serves layer 4 in this kernel"
            f" (nft list table inet {HOLD_TABLE}; netlink port {wire.U32.unpack(owner)[0]},"
            " which as a rule is its process id): stop it first"
        )


def _chain() -> Request:
    hook = nlmsg.attribute(_HOOK_NUMBER, wire.U32.pack(_PREROUTING))
    hook += nlmsg.attribute(_HOOK_PRIORITY, wire.I32.pack(_PRIORITY))
    body = nlmsg.attribute(_CHAIN_TABLE, wire.text(HOLD_TABLE))
    body += nlmsg.attribute(_CHAIN_NAME, wire.text(_CHAIN))
    body += nlmsg.nested(_CHAIN_HOOK, hook)
    body += nlmsg.attribute(_CHAIN_TYPE, wire.text("nat"))
    return Request(_NEW_CHAIN, nlmsg.CREATE, body)


def _rule() -> Request:
    """Return a rule that looks at the state of a connection, and does nothing with it."""
    data = nlmsg.attribute(_CT_REGISTER, wire.U32.pack(1))
    data += nlmsg.attribute(_CT_KEY, wire.U32.pack(_CT_STATE))
    expression = nlmsg.attribute(_EXPRESSION_NAME, wire.text("ct"))
    expression += nlmsg.nested(_EXPRESSION_DATA, data)
    body = nlmsg.attribute(_RULE_TABLE, wire.text(HOLD_TABLE))
    body += nlmsg.attribute(_RULE_CHAIN, wire.text(_CHAIN))
    body += nlmsg.nested(_RULE_EXPRESSIONS, nlmsg.nested(_ONE_OF_LIST, expression))
    return Request(_NEW_RULE, nlmsg.CREATE, body)
