"""The configuration file's errors name the key, what stands there and what may stand there."""

from pathlib import Path

import pytest

from onehop.base.errors import ConfigError
from onehop.compile.options import PathPolicy
from onehop.control.configfile import compile_options, load_config, parse_config, parse_listen

DESIGN = """
cluster: {name: prod, kubeconfig: /etc/onehop/kubeconfig}
classes: {ingress: onehop.dev/ingress, gateway: onehop.dev/gateway-controller,
  service: onehop.dev/lb, defaultService: false}
addresses:
  pools: [{name: public, cidrs: [203.0.113.10-203.0.113.50, "2001:db8::/120"]}]
  shared: 203.0.113.10
  bind: {interface: eth0}
ports: {http: 80, https: 443}
dataPlane: {driver: envoy}
path: auto
state: /var/lib/onehop
listen: {metrics: 127.0.0.1:9080}
"""


def test_the_documented_file_is_read() -> None:
    """The keys are a contract with users."""
    config = parse_config(DESIGN, name="onehop.yaml")
    options = compile_options(config)

    assert config.addresses.bind.interface == "eth0"
    assert options.shared == ("203.0.113.10",)
    assert options.path is PathPolicy.AUTO
    assert options.address_pools[0].ranges == (
        ("203.0.113.10", "203.0.113.50"),
        ("2001:db8::", "2001:db8::ff"),
    )


def test_json_is_read_as_well(tmp_path: Path) -> None:
    """JSON is YAML too."""
    path = tmp_path / "onehop.json"
    path.write_text('{"ports": {"http": 18080, "https": 18443}}')

    assert load_config(path).ports.http == 18080


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("adresses: {}", "adresses: no such key; allowed here are acme, addresses, bgp, classes"),
        (
            "acme: {issuers: [{name: x, solvers: [{type: dns}]}]}",
            "acme.issuers[0].solvers[0].type: allowed is http-01 | tls-alpn-01 | rfc2136 | webhook",
        ),
        (
            "acme: {issuers: [{name: x, solvers: [{type: webhook, URL: x, url: x}]}]}",
            "acme.issuers[0].solvers[0].URL: no such key; allowed here are caFile, passwordFile",
        ),
        ("acme: {issuers: [{name: x}]}", "acme.issuers[0].directory: missing; only letsencrypt"),
        ('acme: {issuers: [{name: "true"}]}', "acme.issuers[0].name: 'true'; allowed are up to"),
        (
            "acme: {issuers: [{name: x, directory: http://x}]}",
            "acme.issuers[0].directory: 'http://x'; allowed is an https URL",
        ),
        ("acme: {publicAddresses: [x]}", "acme.publicAddresses[0]: 'x'; allowed is an IP address"),
        (
            "acme: {issuers: [{name: letsencrypt, caFile: /nowhere}]}",
            "acme.issuers[0].caFile: /nowhere cannot be read",
        ),
        (
            "acme: {issuers: [{name: letsencrypt}, {name: letsencrypt}]}",
            "acme.issuers[1].name: two issuers are called 'letsencrypt'",
        ),
        ("bgp: {neighbors: calica}", "bgp.neighbors: allowed is calico | cilium | a list"),
        (
            "bgp: {neighbors: [{adress: x}]}",
            "bgp.neighbors[0].adress: no such key; allowed here are address, asn",
        ),
        ("reach: {trust: [x]}", "reach.trust[0]: 'x'; allowed is a network"),
        ("transparent: {clients: [x]}", "transparent.clients[0]: 'x'; allowed is a network"),
        ("{addresses: {shard: 1}}", "addresses.shard: no such key; allowed here are bind, pools"),
        ("{addresses: {pools: [{name: a, cidr: []}]}}", "addresses.pools[0].cidr: no such key"),
        ("{ports: {http: 99999}}", "ports.http: Expected `int` <= 65535, not 99999"),
        ("{ports: {http: web}}", "ports.http: Expected `int`, got `str`, not 'web'"),
        ("{ports: {http: 443}}", "ports.https: 443 is ports.http already"),
        (
            "{tls: {defaultCertificate: shop}}",
            "tls.defaultCertificate: 'shop'; allowed is NAMESPACE/NAME of a Secret",
        ),
        (
            "{tls: {ocspResponders: [http://ocsp.example/path]}}",
            "tls.ocspResponders[0]: 'http://ocsp.example/path'; allowed is http://HOST",
        ),
        (
            "{tls: {ocspResponders: [http://a.example, ldap://b.example]}}",
            "tls.ocspResponders[1]: 'ldap://b.example'; allowed is http://HOST",
        ),
        (
            "{tls: {http3: true}, http: {acceptProxyProtocol: true}}",
            "tls.http3: a PROXY header is of TCP",
        ),
        ("{tls: {policy: old}}", "tls.policy: allowed is modern | intermediate, not 'old'"),
        ("{path: straight}", "path: allowed is auto | pod | local | node, not 'straight'"),
        ("{addresses: {shared: 1.2.3}}", "addresses.shared: '1.2.3'; allowed is one IP address"),
        ("{addresses: {shared: [10.0.0.1, 10.0.0.2]}}", "allowed is one IP address of each family"),
        ("{addresses: {pools: [{name: a, cidrs: [x]}]}}", "addresses.pools[0].cidrs[0]: 'x'"),
        ("{addresses: {pools: [{name: a, cidrs: [10.0.0.9-10.0.0.1]}]}}", "runs backwards"),
        ("{addresses: {pools: [{name: a, cidrs: [10.0.0.9-::1]}]}}", "mixes families"),
        ("{addresses: {bind: {interface: e, none: true}}}", "interface and none exclude"),
        ("{cluster: {manifests: a, kubeconfig: b}}", "kubeconfig and manifests exclude"),
        ("{cluster: {allowLoopback: true}}", "cluster.allowLoopback: only with cluster.manifests"),
        ("{dataPlane: {driver: nginx}}", "dataPlane.driver: 'nginx'; allowed is envoy"),
        ("{dataPlane: {driver: vtm, layer4: kernel}}", "dataPlane.layer4: kernel: with vtm"),
        (
            "{dataPlane: {layer4: kernel}, cluster: {manifests: a, allowLoopback: true}}",
            "dataPlane.layer4: kernel: not with cluster.allowLoopback",
        ),
        ("{log: {level: loud}}", "log.level: 'loud'; allowed is debug | info | warning | error"),
        ("{listen: {metrics: here}}", "listen.metrics: 'here'; allowed is ADDRESS:PORT"),
        ("{listen: {metrics: '[::1]:65536'}}", "listen.metrics: '[::1]:65536'; allowed is ADDRESS"),
        ("[]", "the file: Expected `object`, got `array`"),
        ("a: [", "not YAML"),
    ],
)
def test_an_error_says_which_key_and_what_is_allowed(text: str, said: str) -> None:
    """Nobody has to guess."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, name="onehop.yaml")

    assert said in str(caught.value)
    assert str(caught.value).startswith("onehop.yaml: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(ConfigError, match="nowhere"):
        load_config(tmp_path / "nowhere")


def test_an_empty_file_is_all_defaults() -> None:
    """Nothing has to be said."""
    assert parse_config("", name="x") == parse_config("{}", name="x")


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9080", ("127.0.0.1", 9080)), ("[::1]:80", ("::1", 80))],
)
def test_an_address_to_listen_on_has_a_port(text: str, address: tuple[str, int]) -> None:
    """IPv6 addresses stand in brackets."""
    assert parse_listen(text, name="x") == address
