"""What the guide shows is what is printed, and all there is."""

from typing import Final, get_args

import msgspec

from onehop.acme.state import Phase
from onehop.control.certificates.chain import read_chain
from onehop.control.certificates.facts import CertificateFacts, TlsNaming
from onehop.control.certificates.report import CertificateList, HostStory, Renewal, Standing
from onehop.control.certificates.table import make_list
from onehop.control.certificates.why import tell
from onehop.model.certificate import CertificateDemand
from onehop.model.ident import CertificateId, ObjectRef
from onehop.model.problem import Problem, Reason
from tests.certificates.known import (
    DAY_S,
    NOW,
    certificate_of_story,
    printed,
    scene_of_story,
    state,
)
from tests.certificates.test_why import led_elsewhere
from tests.docs.pages import ROOT, blocks, in_backticks, table_rows

PAGE: Final = ROOT / "docs" / "guide" / "certificates.md"


def _facts() -> CertificateFacts:
    """Return one that is valid, one on its way, one in vain, and one that nobody asks for."""
    good = certificate_of_story("tls-by-server-name", "shop")
    names = ("blog", "intern", "legacy", "shop")
    secrets = {name: ObjectRef("Secret", "web", f"{name}-tls") for name in names}
    wishers = {name: ObjectRef("Ingress", "web", name) for name in names}
    hosts = {name: (f"{name}.example.com",) for name in names}
    missing = Problem(
        subject=wishers["legacy"],
        field="spec.tls[0].secretName",
        reason=Reason.CERTIFICATE_NOT_FOUND,
        message="Secret/web/legacy-tls does not exist or may not be read",
    )
    said = "intern.example.com: has no address"
    return CertificateFacts(
        now=NOW,
        demands={
            secrets[name]: CertificateDemand(
                secret=secrets[name],
                hosts=hosts[name],
                issuer="letsencrypt",
                wishers=(wishers[name],),
            )
            for name in ("blog", "intern", "shop")
        },
        states={
            secrets["blog"]: state(Phase.PROVING, secrets["blog"]),
            secrets["intern"]: state(
                Phase.REFUSED, secrets["intern"], next_at=NOW + 280, last_error=said
            ),
            secrets["shop"]: state(
                Phase.VALID, secrets["shop"], renews_at=NOW + 42 * DAY_S, is_in_window=True
            ),
        },
        chains={CertificateId("web/shop-tls"): read_chain(good)},
        shown_for={CertificateId("web/shop-tls"): hosts["shop"]},
        named={
            secrets[name]: (
                TlsNaming(
                    owner=wishers[name],
                    age_key=("", "web", name),
                    field="spec.tls[0]",
                    hosts=hosts[name],
                ),
            )
            for name in names
        },
        problems={missing.subject: (missing,)},
    )


def _texts() -> list[str]:
    return [block.text for block in blocks("text") if block.page == PAGE]


def test_the_list_in_the_guide_is_one_that_is_printed() -> None:
    """In all the ways that a Secret may be doing."""
    found = make_list(_facts())

    assert _trimmed(printed(found)) in _texts()
    assert {each.standing for each in found.certificates} == set(Standing) - {Standing.EXPIRED}


def test_the_stories_in_the_guide_are_those_that_are_told() -> None:
    """Of a host that is fine, and of one that leads elsewhere."""
    fine = tell(scene_of_story("tls-by-server-name"), "shop.example.com")

    assert printed(fine) in _texts()
    assert printed(led_elsewhere()) in _texts()


def test_the_guide_explains_every_state() -> None:
    """The word in the list can be looked up."""
    names = [name for name, _ in _rows() if name.islower() and " " not in name]

    assert names == list(Standing)


def test_the_guide_names_every_field_of_the_json() -> None:
    """What programs may rely on is written down."""
    rows = {name: in_backticks(cell) for name, cell in _rows() if name[0].isupper()}
    kinds = dict.fromkeys(
        kind for top in (CertificateList, HostStory, Renewal) for kind in _in(top)
    )

    assert rows == {
        kind.__name__: tuple(field.encode_name for field in msgspec.structs.fields(kind))
        for kind in kinds
    }


def _rows() -> list[tuple[str, str]]:
    """Return the first word and the second cell of each row below the heading."""
    rows = table_rows(PAGE, "onehop cert")
    return [(in_backticks(row[0])[0], row[1]) for row in rows]


def _in(kind: object) -> list[type[msgspec.Struct]]:
    """Return the structs of the answers that a type is made of, itself first."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind.__module__ != CertificateList.__module__:
            return []
        inner = [each for field in msgspec.structs.fields(kind) for each in _in(field.type)]
        return [kind, *inner]
    return [each for argument in get_args(kind) for each in _in(argument)]


def _trimmed(text: str) -> str:
    """Return text without the blanks at the ends of lines that fill a table up."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())
