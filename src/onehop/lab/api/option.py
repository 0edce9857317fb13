"""How a write is meant, and what a delete did."""

import msgspec

from onehop.lab.api.stored import Stored


class WriteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a write is meant.

    Attributes:
        dry_run: check and answer, but write nothing.
        manager: whose name managedFields shows.
        force: an apply takes over fields in conflict.
        subresource: "" or `status`.
        uid: the object must have it, or 409; "" for any.
        resource_version: the object must be at it, or 409; "" for any.
        grace_s: how long a deleted object may go on; None leaves it to its kind.
    """

    dry_run: bool = False
    manager: str = "unknown"
    force: bool = False
    subresource: str = ""
    uid: str = ""
    resource_version: str = ""
    grace_s: int | None = None


PLAIN = WriteOptions()


class Deleted(msgspec.Struct, frozen=True):
    """What a delete did: `is_gone` is False while finalizers or a grace period hold the object."""

    stored: Stored
    is_gone: bool
