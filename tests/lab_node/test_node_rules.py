"""The rules of a node: any sequence of them is one that the kernel takes."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onehop.lab.node.choice import Choice, Target
from onehop.lab.node.conntrack import Flow, stale_flows
from onehop.lab.node.ruleset import counter_name, make_table
from onehop.lab.node.table import NAME, Table, render_transaction
from tests.lab_node.rules import PLACES, choices, plain

LABEL = "shop/web/tcp/http"


@pytest.fixture(scope="module")
def space() -> Iterator[str]:
    """Make a network namespace to put rules into."""
    name = f"oh-node-{os.getpid()}-nft"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def nft(space: str, *arguments: str, stdin: str = "") -> str:
    command = ["ip", "netns", "exec", space, "nft", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{stdin}"
    return done.stdout


def rules_of(table: Table, chain: str) -> tuple[str, ...]:
    return next(
        each.rules
        for each in table.chains
        if each.name.startswith(chain) and each.name.endswith(LABEL)
    )


def elements_of(table: Table, lookup: str) -> str:
    return ", ".join(next(each.elements for each in table.lookups if each.name == lookup))


@pytest.mark.root
@pytest.mark.parametrize("family", [4, 6])
@settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_from_any_rules_to_any_others_in_one_transaction(
    space: str, family: int, data: st.DataObject
) -> None:
    """At the end there is what a fresh start would have made, and nothing more."""
    ip = "ip" if family == 4 else "ip6"
    drawn = data.draw(st.lists(choices(family), min_size=2, max_size=3))
    had: Table | None = None
    for each in drawn:
        wanted = make_table(each, PLACES[family])
        nft(space, "-f", "-", stdin=render_transaction(wanted, had))
        had = wanted
    assert had is not None
    came_to = nft(space, "-s", "list", "table", ip, NAME)
    nft(space, "-f", "-", stdin=render_transaction(had, None))
    fresh = nft(space, "-s", "list", "table", ip, NAME)
    assert sorted(came_to.splitlines()) == sorted(fresh.splitlines())


@pytest.mark.root
def test_counters_outlive_a_change_of_rules(space: str) -> None:
    """What was counted before an endpoint came is still there after."""
    table = make_table([plain()], PLACES[4])
    nft(space, "-f", "-", stdin=render_transaction(table, None))
    name = counter_name("connections", LABEL)
    counted = f"add table ip {NAME}\ndelete table ip {NAME}\nadd table ip {NAME}\n"
    counted += f"add counter ip {NAME} {name} {{ packets 7 bytes 70 }}\n"
    text = render_transaction(table, None).partition("\nadd counter")
    nft(space, "-f", "-", stdin=counted + "add counter" + text[2])

    changed = make_table([plain(local=())], PLACES[4])
    nft(space, "-f", "-", stdin=render_transaction(changed, table))

    assert "packets 7" in nft(space, "list", "counter", "ip", NAME, name)


def test_policy_cluster_marks_and_picks_among_all() -> None:
    """The mark becomes the node's own address as source."""
    table = make_table([plain()], PLACES[4])
    assert rules_of(table, "external-")[1] == "jump mark-for-masquerade"
    assert any("numgen random mod 2" in rule for rule in rules_of(table, "service-"))
    assert "tcp . 30080 : goto external-" in elements_of(table, "service-nodeports")


def test_policy_local_keeps_the_source_and_picks_here() -> None:
    """Only what the node and the Pods send themselves may go everywhere."""
    table = make_table([plain(is_external_local=True)], PLACES[4])
    *special, last = rules_of(table, "external-")[1:]
    assert last.startswith("goto local-")
    assert all("saddr" in rule for rule in special)
    assert any("numgen random mod 1 " in rule for rule in rules_of(table, "local-"))


@pytest.mark.parametrize(
    ("choice", "chain"),
    [
        (plain(is_external_local=True, local=()), "drop-chain"),
        (plain(is_external_local=True, local=(), cluster=()), "reject-chain"),
        (plain(local=(), cluster=()), "reject-chain"),
    ],
)
def test_without_an_endpoint_packets_are_dropped_or_rejected(choice: Choice, chain: str) -> None:
    """Dropped where another node would serve: no client shall be told that nobody does."""
    table = make_table([choice], PLACES[4])
    assert elements_of(table, "no-endpoint-nodeports") == f"tcp . 30080 : goto {chain}"
    assert elements_of(table, "service-nodeports") == ""


def test_a_flow_is_stale_if_its_answerer_serves_no_more() -> None:
    """Flows to others are nobody's business."""
    dns = plain(protocol="UDP", port=53, is_external_local=True)

    def flow(to: str, port: int, answerer: str) -> Flow:
        return Flow(
            source=Target("192.0.2.1", 40000),
            destination=Target(to, port),
            answerer=Target(answerer, 8080),
        )

    kept = (
        flow("10.111.0.11", 30080, "10.244.0.1"),
        flow("10.96.0.10", 53, "10.244.0.2"),
        flow("10.111.0.11", 9999, "10.244.0.9"),
    )
    stale = (flow("10.111.0.11", 30080, "10.244.0.2"), flow("10.96.0.10", 53, "10.244.0.9"))
    assert stale_flows((*kept, *stale), [dns], PLACES[4]) == stale
