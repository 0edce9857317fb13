"""What the operator says of the unit."""

from pathlib import Path

import msgspec


class VtmOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster of traffic managers, and how it is spoken to.

    Attributes:
        urls: of the REST service of each member, as `https://vtm-1.example:9070`; any one will do,
            the next is asked when it does not answer.
        owner: marks what is ours; lower-case letters, digits, `.` and `-`. Two onehop of one
            cluster have the same, two clusters sharing a unit have not.
        password_file: read at each start, and again when the unit does not take what it held.
        ca_file: what the unit's certificate must chain to; None is what this host trusts.
        machines: the traffic managers that carry the addresses; empty for all of the cluster.
        timeout_s: of one call.
        again_s: after a call that failed, when the next try is; a password that was refused is not
            said earlier, either: accounts are locked for too many attempts.
        resync_s: how often all of our objects are read and compared.
        grace_s: how long what nobody points at stays, for requests in flight.
        orphan_grace_s: the same of what an earlier process left.
        replication_s: after moving to another member, when to compare once more: its copy may lag
            (`rest_api.replicate_absolute`, 20 s by default).
    """

    urls: tuple[str, ...]
    owner: str
    username: str = "admin"
    password_file: Path
    ca_file: Path | None = None
    machines: tuple[str, ...] = ()
    timeout_s: float = 10.0
    again_s: float = 2.0
    resync_s: float = 60.0
    grace_s: float = 15.0
    orphan_grace_s: float = 60.0
    replication_s: float = 25.0
