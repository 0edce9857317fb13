"""Certificates that an earlier process served, and whose Secrets this one could not read yet.

A Secret that is refused, or about which the API says nothing, is not a Secret that is gone: its
certificate is shown until more is known. What is unreadable *later* needs none of this, because the
compiler has the Secret's last form.
"""

from onehop.control.served import Served
from onehop.model.certificate import Certificate, ServerName
from onehop.model.ident import ObjectRef
from onehop.model.model import Change, RowKey, key_of
from onehop.source import Source

SECRET = "Secret"  # noqa: S105  the kind


def secret_of(certificate: str) -> ObjectRef:
    """Return the Secret that a certificate's id names."""
    namespace, _, name = certificate.partition("/")
    return ObjectRef(SECRET, namespace, name)


class Unread:
    """Puts off removals for as long as a Secret is unread."""

    def __init__(self, source: Source, served: Served) -> None:
        self._source = source
        self._served = served
        self._put_off: dict[RowKey, ObjectRef] = {}

    def put_off(self, change: Change) -> Change:
        """Return the change without removals that only mean that a Secret is unread."""
        unread = self._source.unread
        for key in change.removals:
            match self._served.row(key):
                case Certificate(id=name) | ServerName(certificate=name):
                    if (secret := secret_of(name)) in unread:
                        self._put_off[key] = secret
                case _:
                    pass
        left = tuple(key for key in change.removals if key not in self._put_off)
        return Change(change.upserts, left)

    def due(self, change: Change) -> Change:
        """Return a later change with the removals that are no longer put off.

        A row that is written again is not to be removed at all.
        """
        if not self._put_off:
            return change
        for row in change.upserts:
            self._put_off.pop(key_of(row), None)
        unread = self._source.unread
        due = tuple(key for key, secret in self._put_off.items() if secret not in unread)
        for key in due:
            del self._put_off[key]
        return change.then(Change((), due))
