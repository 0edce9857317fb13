"""Every piece of YAML that a reader may copy works."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from onehop.cluster import Gateway, Ingress, ListenerSet, Secret
from onehop.cluster.gateway_verdict import GatewayVerdict, ParentsVerdict, Saying, Truth
from onehop.cluster.kind import ClusterObject
from onehop.cluster.meta import Meta
from onehop.compile.compiler import Compiled, Compiler
from onehop.compile.options import AddressPool, IssuerOption, Options
from onehop.control.config import Config
from onehop.control.configfile import compile_options, load_config, parse_config
from onehop.model.address import Cidr, IpAddr
from onehop.source.manifests_folder import load_manifests
from tests.compile.pem import chain_pem, key_pem
from tests.docs.pages import ROOT, Block, blocks

OPTIONS: Final = Options(
    shared=(IpAddr("203.0.113.10"), IpAddr("2001:db8::10")),
    address_pools=(
        AddressPool(
            name="public",
            ranges=(
                (IpAddr("203.0.113.11"), IpAddr("203.0.113.50")),
                (IpAddr("2001:db8::1:0"), IpAddr("2001:db8::1:ff")),
            ),
        ),
    ),
    issuers=(IssuerOption(name="letsencrypt"),),
    writes_back=False,
    transparent_clients=(Cidr("198.51.100.0/24"),),
)
CLASS_YAML: Final = (ROOT / "examples" / "cluster" / "class.yaml").read_text(encoding="utf-8")

YAML: Final = blocks("yaml")
CONFIG_KEYS: Final = frozenset(Config.__struct_encode_fields__)


def _documents(block: Block) -> list[Any]:
    return list(yaml.safe_load_all(block.text))


def _is_config(block: Block) -> bool:
    first = _documents(block)[0]
    return isinstance(first, Mapping) and first.keys() <= CONFIG_KEYS


def _is_kubernetes(block: Block) -> bool:
    return all("apiVersion" in document for document in _documents(block))


def _certificates(objects: tuple[ClusterObject, ...]) -> tuple[Secret, ...]:
    """Return the Secrets that objects name, which no example may carry."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for item in objects:
        for name, hosts in _named(item):
            found.setdefault((item.metadata.namespace, name), {}).update(dict.fromkeys(hosts))
    return tuple(
        Secret(
            metadata=Meta(name=name, namespace=space),
            type="kubernetes.io/tls",
            data={"tls.crt": chain_pem(name, names=tuple(hosts)), "tls.key": key_pem(name)},
        )
        for (space, name), hosts in found.items()
    )


def _named(item: ClusterObject) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the Secrets that an object names, and the hosts they are for."""
    if isinstance(item, Ingress):
        yield from ((tls.secret_name, tuple(tls.hosts or ())) for tls in item.spec.tls or ())
    elif isinstance(item, Gateway | ListenerSet):
        for listener in item.spec.listeners:
            refs = listener.tls.certificate_refs if listener.tls else ()
            yield from ((ref.name, (listener.hostname or "*",)) for ref in refs)


def _compile(path: Path, options: Options = OPTIONS) -> Compiled:
    objects, problems = load_manifests(path)
    assert problems == ()
    compiler = Compiler(options)
    for clients in options.transparent_clients:
        compiler.set_return_path(clients, works=True)
    for item in (*objects, *_certificates(objects)):
        compiler.put(item)
    compiler.settle()
    return Compiled(compiler.model(), compiler.problems(), compiler.verdicts())


@pytest.mark.parametrize("block", YAML, ids=str)
def test_a_block_of_yaml_is_a_configuration_an_object_or_a_status(block: Block) -> None:
    """Nothing in the documents escapes the tests below but what the API server writes."""
    [first, *_] = _documents(block)

    assert _is_config(block) or _is_kubernetes(block) or set(first) == {"status"}


@pytest.mark.parametrize("block", [each for each in YAML if _is_config(each)], ids=str)
def test_a_configuration_in_a_document_is_accepted(block: Block, tmp_path: Path) -> None:
    """Whoever copies it, and has the files that it names, gets a program that starts."""
    for name in re.findall(r"/etc/onehop/([\w.-]+)", block.text):
        held = chain_pem("root") if name.endswith(".pem") else b"c2VjcmV0"
        (tmp_path / name).write_bytes(held)

    parse_config(block.text.replace("/etc/onehop/", f"{tmp_path}/"), name=str(block))


@pytest.mark.parametrize("block", [each for each in YAML if _is_kubernetes(each)], ids=str)
def test_objects_in_a_document_compile_without_a_complaint(block: Block, tmp_path: Path) -> None:
    """Whoever applies them gets no Warning."""
    (tmp_path / "page.yaml").write_text(block.text, encoding="utf-8")
    if "kind: IngressClass\n" not in block.text:
        (tmp_path / "class.yaml").write_text(CLASS_YAML, encoding="utf-8")

    compiled = _compile(tmp_path)

    assert compiled.problems == ()
    assert compiled.verdicts


def test_the_objects_for_a_real_cluster_compile_without_a_complaint() -> None:
    """All of examples/cluster, applied at once."""
    compiled = _compile(ROOT / "examples" / "cluster")

    assert compiled.problems == ()
    assert {host.hostname for host in compiled.model.hosts} == {
        "web.example.com",
        "shop.example.com",
    }


def test_the_objects_of_gateway_api_compile_without_a_complaint() -> None:
    """All of examples/gateway: each route is accepted, each reference leads somewhere."""
    compiled = _compile(ROOT / "examples" / "gateway")

    assert compiled.problems == ()
    assert {saying.status for saying in _sayings(compiled)} == {Truth.TRUE, Truth.FALSE}
    assert {each.type for each in _sayings(compiled) if each.status is Truth.FALSE} == {
        "Conflicted"
    }
    hosts = {host.id.partition(":")[2] for host in compiled.model.hosts}
    assert {"80/shop.example.com", "443/shop.example.com"} <= hosts


def _sayings(compiled: Compiled) -> Iterator[Saying]:
    """Yield what is said of Gateways and routes, of their listeners and parents."""
    for verdict in compiled.verdicts:
        match verdict:
            case GatewayVerdict(sayings=sayings, listeners=parts):
                yield from (*sayings, *(each for part in parts for each in part.sayings))
            case ParentsVerdict(parents=parents):
                yield from (each for parent in parents for each in parent.sayings)
            case _:
                continue


def test_the_sample_shop_compiles_without_a_complaint_under_its_configuration() -> None:
    """What `make demo` serves is what examples/shop.onehop.yaml serves."""
    config = load_config(ROOT / "examples" / "shop.onehop.yaml")
    compiled = _compile(ROOT / "examples" / "shop", compile_options(config))

    assert compiled.problems == ()
    assert len(compiled.model.endpoints) == 4


def test_the_example_configuration_names_every_key() -> None:
    """But for those that exclude others, or are not in use yet."""
    raw = yaml.safe_load((ROOT / "deploy" / "onehop.yaml").read_text(encoding="utf-8"))

    parse_config(msgspec.json.encode(raw).decode(), name="deploy/onehop.yaml")

    assert config_keys(Config) - set(_flat(raw)) == {
        "cluster.inCluster",
        "cluster.manifests",
        "cluster.allowLoopback",
        "classes.gateway",
        "addresses.bind.none",
        "bgp.nodeAsn",
        "bgp.nodePasswordFile",
        "bgp.bird.include",
        "bgp.bird.socket",
        "dataPlane.haproxy.include",
        "dataPlane.haproxy.master",
    }


def config_keys(kind: Any, path: str = "") -> set[str]:
    """Return the paths of all keys below a section."""
    keys: set[str] = set()
    for field in msgspec.structs.fields(kind):
        name = f"{path}{field.encode_name}"
        keys |= config_keys(field.type, f"{name}.") if _is_section(field.type) else {name}
    return keys


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _flat(raw: Mapping[str, Any], path: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in raw.items():
        name = f"{path}{key}"
        keys += _flat(value, f"{name}.") if isinstance(value, Mapping) else [name]
    return keys
