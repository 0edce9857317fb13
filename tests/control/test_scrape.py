"""What a scrape finds."""

import msgspec

from onehop.control.overview import NetworkSnapshot
from onehop.control.scrape import Gauges, Scrape
from onehop.control.served import Served
from onehop.model.certificate import Certificate, SecretText
from onehop.model.ident import CertificateId
from onehop.model.model import Change, key_of

NOW = Gauges(
    is_synced=True,
    is_ready=True,
    is_leader=True,
    served={},
    withheld={},
    refused={},
    problems={},
    loop_lag_s=0.0,
    network=NetworkSnapshot(endpoints={}),
    certificates={"shop/tls": 2_000_000_000, "blog/tls": 1_900_000_000},
)


def test_each_certificate_that_is_shown_has_its_end() -> None:
    """`onehop_certificate_expiry_seconds - time()` is what an alert looks at."""
    (family,) = (
        each
        for each in Scrape(lambda: NOW, {}, None).collect()
        if each.name == "onehop_certificate_expiry_seconds"
    )

    assert {sample.labels["secret"]: sample.value for sample in family.samples} == {
        "shop/tls": 2_000_000_000.0,
        "blog/tls": 1_900_000_000.0,
    }


def test_drift_is_told_by_data_plane_and_by_what_it_was() -> None:
    """One metric for all data planes, and for those that are made of two."""
    found = {"haproxy": {"map": 2, "server": 1}, "nftables": {"table": 3}}
    now = msgspec.structs.replace(NOW, drifts=found)
    (family,) = (
        each
        for each in Scrape(lambda: now, {}, None).collect()
        if each.name == "onehop_data_plane_drifts"
    )

    assert [(s.labels["driver"], s.labels["kind"], s.value) for s in family.samples] == [
        ("haproxy", "map", 2.0),
        ("haproxy", "server", 1.0),
        ("nftables", "table", 3.0),
    ]


def test_certificates_are_served_until_their_rows_go() -> None:
    """A newer row takes the place of an older one."""
    served = Served()
    for end in (1, 2):
        served.take(Change(upserts=(_certificate(end),)))
    assert {name: shown.not_after for name, shown in served.certificates().items()} == {
        "shop/tls": 2
    }

    served.take(Change(removals=(key_of(_certificate(2)),)))
    assert served.certificates() == {}


def _certificate(end: int) -> Certificate:
    return Certificate(
        id=CertificateId("shop/tls"),
        chain_pem="",
        key_pem=SecretText(""),
        fingerprint="",
        not_after=end,
    )
