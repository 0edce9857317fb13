"""What an operator installs: rights, and a unit."""

import configparser
import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from onehop.cluster import GATEWAY_KINDS
from onehop.control.acmeconfig import AcmeConfig, IssuerConfig
from onehop.control.config import BgpConfig, ClusterConfig, Config
from onehop.control.issuing.rights import issuing_rights
from onehop.control.preflight import needed_rights
from onehop.control.sources import GATEWAY_API
from onehop.kube import Right
from onehop.status.gateway_rights import gateway_rights
from tests.docs.pages import ROOT

RBAC: Final = ROOT / "deploy" / "rbac.yaml"
ACME: Final = ROOT / "deploy" / "rbac-acme.yaml"
GATEWAY: Final = ROOT / "deploy" / "rbac-gateway.yaml"
OF_A_NAMESPACE: Final = ROOT / "deploy" / "secrets-of-a-namespace.yaml"
UNIT: Final = ROOT / "deploy" / "onehop.service"

CONFIGS: Final = (Config(), Config(bgp=BgpConfig(asn=64512, neighbors="calico")))
"""Between them, they read every kind there is."""

ACCOUNT: Final = {"kind": "ServiceAccount", "name": "onehop", "namespace": "onehop-system"}


def _load(*files: Path) -> list[dict[str, Any]]:
    return [each for file in files for each in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def _granted(objects: list[dict[str, Any]]) -> Iterator[Right]:
    """Yield every right that a binding gives to the account."""
    roles = {(each["kind"], each["metadata"]["name"]): each for each in objects if "rules" in each}
    for binding in objects:
        if "roleRef" not in binding:
            continue
        assert binding["subjects"] == [ACCOUNT]
        role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        for rule in role["rules"]:
            yield from _rights(rule, binding["metadata"].get("namespace", ""))


def _rights(rule: dict[str, list[str]], namespace: str) -> Iterator[Right]:
    assert rule.keys() - {"resourceNames"} == {"apiGroups", "resources", "verbs"}
    only = rule.get("resourceNames", [""])
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            name, _, subresource = resource.partition("/")
            for verb, one in itertools.product(rule["verbs"], only):
                yield Right(
                    verb=verb,
                    group=group,
                    resource=name,
                    subresource=subresource,
                    namespace=namespace,
                    name=one,
                )


def test_the_roles_grant_what_is_needed_and_nothing_else() -> None:
    """Not one right is missing, and none is given away."""
    granted = list(_granted(_load(RBAC)))
    needed = {right for config in CONFIGS for right in needed_rights(config)}

    assert set(granted) == needed
    assert len(granted) == len(set(granted))


def test_certificates_by_acme_have_roles_of_their_own() -> None:
    """Who has no issuers grants no right to write Secrets; who has some applies one file more."""
    granted = list(_granted(_load(ACME)))

    assert set(granted) == set(issuing_rights("onehop-system"))
    assert len(granted) == len(set(granted))
    assert not set(granted) & set(_granted(_load(RBAC)))


def test_the_right_to_write_secrets_is_asked_for_with_issuers_only() -> None:
    """By `onehop check`, and in the namespace that the configuration names."""
    cluster = ClusterConfig(namespace="edge")
    acme = AcmeConfig(issuers=(IssuerConfig(name="letsencrypt"),))
    without = set(needed_rights(Config(cluster=cluster)))

    assert not without & set(issuing_rights("edge"))
    assert set(needed_rights(Config(cluster=cluster, acme=acme))) == without | set(
        issuing_rights("edge")
    )


def test_gateway_api_has_a_role_of_its_own() -> None:
    """For all kinds of the release: those that are read, and those that will be."""
    granted = list(_granted(_load(GATEWAY)))

    assert set(granted) == set(gateway_rights(GATEWAY_KINDS))
    assert set(gateway_rights(GATEWAY_API)) <= set(granted)
    assert len(granted) == len(set(granted))
    assert not set(granted) & set(_granted(_load(RBAC)))


def test_no_role_uses_a_wildcard() -> None:
    """A `*` would grant what the next version of Kubernetes invents."""
    assert "*" not in {
        text
        for right in _granted(_load(RBAC, ACME, GATEWAY))
        for text in (right.verb, right.group, right.resource)
    }


def test_secrets_can_be_granted_by_namespace_instead() -> None:
    """The other bindings grant the same rights, in one namespace."""
    roles = [each for each in _load(RBAC, ACME) if each["kind"] == "ClusterRole"]
    granted = set(_granted([*roles, *_load(OF_A_NAMESPACE)]))

    assert granted == {
        Right(verb=verb, resource="secrets", namespace="shop")
        for verb in ("get", "list", "watch", "create", "patch")
    }


def _unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as the manual says
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return parser


def test_the_unit_runs_as_a_user_with_three_capabilities_and_always_again() -> None:
    """What the guide says of it holds."""
    service = _unit()["Service"]
    capabilities = {"CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN", "CAP_NET_RAW"}

    assert service["User"] == "onehop"
    assert set(service["AmbientCapabilities"].split()) == capabilities
    assert set(service["CapabilityBoundingSet"].split()) == capabilities
    assert service["NoNewPrivileges"] == "yes"
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "always"
    assert service["StateDirectory"] == "onehop"


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    """Where there is a systemd to ask; the program it starts is put where this machine has one."""
    systemd_analyze = shutil.which("systemd-analyze")
    text = UNIT.read_text(encoding="utf-8")
    here = text.replace("/opt/onehop/bin/onehop", sys.executable).replace(
        "file:///opt/onehop/README.md", "https://example.com"
    )
    copy = tmp_path / UNIT.name
    copy.write_text(here, encoding="utf-8")
    if systemd_analyze is None:
        assert _unit().sections() == ["Unit", "Service", "Install"]
        return

    outcome = subprocess.run(
        [systemd_analyze, "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (outcome.returncode, outcome.stderr) == (0, "")
