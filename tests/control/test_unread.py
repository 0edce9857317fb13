"""A Secret that cannot be read at the start does not take its certificate away."""

from onehop.control.served import Served
from onehop.control.unread import Unread, secret_of
from onehop.model.certificate import Certificate, SecretText, ServerName
from onehop.model.ident import CertificateId, RouterId
from onehop.model.model import Change, key_of
from tests.control.world import ToldSource

TLS, OTHER = CertificateId("shop/tls"), CertificateId("shop/other")


def _rows(name: CertificateId) -> tuple[Certificate, ServerName]:
    certificate = Certificate(
        id=name, chain_pem="chain", key_pem=SecretText("key"), fingerprint="00", not_after=1
    )
    return certificate, ServerName(router=RouterId("r"), hostname=name, certificate=name)


def _removals(*names: CertificateId) -> Change:
    return Change((), tuple(key_of(row) for name in names for row in _rows(name)))


def _world() -> tuple[ToldSource, Unread]:
    """Return a source that has not read one of two Secrets, both of whose rows are served."""
    source, served = ToldSource(), Served()
    served.take(Change((*_rows(TLS), *_rows(OTHER))))
    source.unread = frozenset({secret_of(TLS)})
    return source, Unread(source, served)


def test_only_what_belongs_to_an_unread_secret_is_put_off() -> None:
    """The other Secret has been read, and is gone."""
    _, unread = _world()

    assert unread.put_off(_removals(TLS, OTHER)) == _removals(OTHER)
    assert unread.due(Change()) == Change()


def test_once_it_is_known_to_be_absent_its_rows_go() -> None:
    """With the first change after that, and only once."""
    source, unread = _world()
    unread.put_off(_removals(TLS))
    source.unread = frozenset()

    assert unread.due(Change()) == _removals(TLS)
    assert unread.due(Change()) == Change()


def test_once_it_is_read_its_rows_stay() -> None:
    """They are written again, perhaps with another certificate."""
    source, unread = _world()
    unread.put_off(_removals(TLS))
    written = Change(_rows(TLS))

    assert unread.due(written) == written
    source.unread = frozenset()
    assert unread.due(Change()) == Change()
