"""Rows as everything that HAProxy reads: pure, so it can be compared, printed and tested.

What is rendered comes apart into what a reload is needed for (sections, policies) and what the
runtime API can change under a running worker (maps, servers, certificates); `change` compares.
"""

from typing import assert_never

from onehop.driver.haproxy import word
from onehop.driver.haproxy.backend import check_pool
from onehop.driver.haproxy.book import Book
from onehop.driver.haproxy.configuration import config_text
from onehop.driver.haproxy.listener import check_listener
from onehop.driver.haproxy.match import entries_of
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.rendered import Rendered, texts_of
from onehop.driver.haproxy.tls import pair_of
from onehop.model.certificate import REDACTED, Certificate, ServerName
from onehop.model.endpoint import PoolEndpoints
from onehop.model.listener import Listener, Vip
from onehop.model.model import Model, Row, model_of
from onehop.model.pool import Pool
from onehop.model.route import VirtualHost


def render_files(model: Model, options: HaproxyOptions) -> dict[str, str]:
    """Return what HAProxy would read, by the name of the file; what is PEM is redacted.

    What CAs say of certificates is left out. So are rows that cannot be had, as they would be.
    """
    rendered = render(model_of(row for row in model.rows() if not why_not(row, options)), options)
    files = {"haproxy.cfg": config_text(rendered, options, f"{options.state_dir}/run-1.sock")}
    secret = {*rendered.files, *rendered.identities}
    for path, text in texts_of(rendered):
        files[path.rpartition("/")[2]] = REDACTED if path in secret else text
    return {name: text for name, text in files.items() if text}


def render(model: Model, options: HaproxyOptions) -> Rendered:
    """Return everything, for rows that `why_not` has nothing against."""
    book = Book(options)
    for row in model.rows():
        book.put(row)
    book.settle()
    return book.rendered


def why_not(row: Row, options: HaproxyOptions) -> str | None:
    """Return why a row cannot be taken, or None."""
    try:
        _check(row, options.place)
    except word.Unfit as err:
        return str(err)
    return None


def _check(row: Row, place: Place) -> None:
    match row:
        case VirtualHost():
            entries_of(row)
        case Listener():
            check_listener(row)
        case Pool():
            check_pool(row, place)
        case Certificate():
            pair_of(row)
        case ServerName(hostname=hostname):
            word.host(hostname)
        case PoolEndpoints() | Vip():
            pass
        case _:
            assert_never(row)
