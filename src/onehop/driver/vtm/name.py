r"""What our objects are called on the unit, and how we know them for ours.

Names are files to a vTM. Its own editor forbids `/ \ * ! `` ` and control characters, and leading
dots; letters, digits, dots and hyphens are safe everywhere. A hash keeps names apart that are
spelled alike after that, so no two ids ever share an object.
"""

import hashlib
import re
from typing import Final

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.]+")
_OWNER: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,30}[a-z0-9])?")
_SLUG: Final = 48
_HASH: Final = 10
_NOTE: Final = 200


def is_owner(text: str) -> bool:
    """Tell whether a text can mark objects as ours."""
    return _OWNER.fullmatch(text) is not None


class Names:
    """Names of one owner's objects.

    Args:
        owner: see `is_owner`.
    """

    def __init__(self, owner: str) -> None:
        if not is_owner(owner):
            raise ValueError(f"{owner!r} cannot mark objects: lower-case letters, digits, . and -")
        self.prefix = f"onehop-{owner}-"
        """What all of our names begin with; those of another owner may, too: see `is_ours`."""
        self._mark = f"onehop owner={owner} "

    def name(self, id_: str) -> str:
        """Return the name of the object that an id becomes; at most 100 characters."""
        slug = _UNSAFE.sub("-", id_)[:_SLUG].strip("-.")
        digest = hashlib.sha256(id_.encode()).hexdigest()[:_HASH]
        return f"{self.prefix}{slug}-{digest}" if slug else f"{self.prefix}{digest}"

    def note(self, id_: str) -> str:
        """Return the mark of an object that has a `note`: whose it is, and of what."""
        return self._mark + _UNSAFE.sub(" ", id_).strip()[:_NOTE]

    @property
    def comment(self) -> str:
        """Return the first line of a rule, which has no `note`."""
        return f"# {self._mark}"

    def is_ours(self, name: str, mark: str) -> bool:
        """Tell whether an object is ours by its name *and* its note or first line.

        The name alone could be another owner's, whose name begins with ours.
        """
        return name.startswith(self.prefix) and mark.removeprefix("# ").startswith(self._mark)
