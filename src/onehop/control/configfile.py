"""Reading `onehop.yaml`, and saying exactly what is wrong with it.

An error names the path of the key, what stands there and what may stand there.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
import yaml

from onehop.base.errors import ConfigError
from onehop.compile.options import AddressPool, Options, TunnelKind
from onehop.compile.value import is_object_name
from onehop.control.acmeconfig import answers_secret, issuer_options, public_addresses, read_issuers
from onehop.control.bgpconfig import bgp_options
from onehop.control.config import Config, HaproxyConfig
from onehop.control.stapling.trust import origin_of
from onehop.model.address import Cidr, IpAddr, is_ipv6, parse_cidr, parse_ip
from onehop.model.ident import ObjectRef
from onehop.telemetry.log import LEVELS

_DRIVERS: Final = ("envoy", "haproxy", "vtm")
_LAST_PORT: Final = 65535
_RANGES: Final = "192.0.2.0/28, 192.0.2.10-192.0.2.50 or 192.0.2.7"


def load_config(path: Path) -> Config:
    """Read and check the file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or a key is wrong; the message names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: cannot be read: {err}") from err
    return parse_config(text, name=str(path))


def parse_config(text: str, *, name: str) -> Config:
    """Check the text of a configuration file; JSON is YAML too.

    Raises:
        ConfigError: see `load_config`.
    """
    try:
        raw = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as err:
        raise ConfigError(f"{name}: not YAML: {err}") from err
    try:
        config = msgspec.convert({} if raw is None else raw, Config)
    except msgspec.ValidationError as err:
        raise ConfigError(f"{name}: {_in_words(err, raw)}") from err
    check_config(config, name=name)
    return config


def check_config(config: Config, *, name: str) -> None:
    """Check what types cannot say.

    Raises:
        ConfigError: the first fault found, with the path of its key.
    """

    def fail(key: str, message: str) -> None:
        raise ConfigError(f"{name}: {key}: {message}")

    cluster = config.cluster
    sources = {"kubeconfig": cluster.kubeconfig, "manifests": cluster.manifests}
    chosen = [key for key, value in sources.items() if value]
    chosen += ["inCluster"] if cluster.in_cluster else []
    if len(chosen) > 1:
        fail("cluster", f"{' and '.join(chosen)} exclude each other; keep one")
    if cluster.allow_loopback and not cluster.manifests:
        fail(
            "cluster.allowLoopback", "only with cluster.manifests: a cluster's tenants could use it"
        )
    if config.data_plane.driver not in _DRIVERS:
        fail("dataPlane.driver", f"{config.data_plane.driver!r}; allowed is {' | '.join(_DRIVERS)}")
    if config.data_plane.layer4 == "kernel":
        _check_layer4(config, fail)
    _check_haproxy(config.data_plane.haproxy, fail)
    if config.log.level not in LEVELS:
        fail("log.level", f"{config.log.level!r}; allowed is {' | '.join(LEVELS)}")
    bind = config.addresses.bind
    if bind.interface and bind.none:
        fail("addresses.bind", "interface and none exclude each other; keep one")
    if config.ports.http == config.ports.https:
        fail("ports.https", f"{config.ports.https} is ports.http already")
    _check_tls(config, fail)
    parse_listen(config.listen.metrics, name=name)
    read_issuers(config.acme, name=name)
    public_addresses(config.acme, name=name)
    compile_options(config, name=name)


def _check_layer4(config: Config, fail: Callable[[str, str], None]) -> None:
    if config.data_plane.driver == "vtm":
        fail("dataPlane.layer4", "kernel: with vtm, traffic does not come by this host")
    if config.cluster.allow_loopback:
        fail("dataPlane.layer4", "kernel: not with cluster.allowLoopback, which it cannot reach")


def _check_haproxy(haproxy: HaproxyConfig, fail: Callable[[str, str], None]) -> None:
    if (haproxy.master is None) != (haproxy.include is None):
        fail(
            "dataPlane.haproxy",
            "master and include belong together: a HAProxy that somebody else runs must read the "
            "folder that onehop writes",
        )
    if haproxy.master is None or haproxy.include is None:
        return
    for key, path in (("master", haproxy.master), ("include", haproxy.include)):
        if not path.startswith("/"):
            fail(f"dataPlane.haproxy.{key}", f"{path!r}; a path begins with a slash")
    ours = msgspec.structs.replace(haproxy, master=None, include=None, binary="haproxy")
    if ours != HaproxyConfig():
        fail(
            "dataPlane.haproxy",
            "threads, maxConnections and oldWorkerS are not for a HAProxy that somebody else runs: "
            "put nbthread, maxconn and hard-stop-after into its global section",
        )


def _check_tls(config: Config, fail: Callable[[str, str], None]) -> None:
    if config.tls.http3 and config.http.accept_proxy_protocol:
        fail("tls.http3", "a PROXY header is of TCP: not together with http.acceptProxyProtocol")
    if config.tls.http3 and config.data_plane.driver == "haproxy":
        fail("tls.http3", "dataPlane.driver haproxy does not speak HTTP/3")
    for number, responder in enumerate(config.tls.ocsp_responders):
        if origin_of(responder) != responder.lower():
            fail(
                f"tls.ocspResponders[{number}]",
                f"{responder!r}; allowed is http://HOST or http://HOST:PORT, or https",
            )


def compile_options(config: Config, *, name: str = "config") -> Options:
    """Return the part of the configuration that compiling depends on.

    Raises:
        ConfigError: an address or a range is not one.
    """
    shared = config.addresses.shared
    texts = (shared,) if isinstance(shared, str) else shared
    return Options(
        ingress_controller=config.classes.ingress,
        gateway_controller=config.classes.gateway,
        service_class=config.classes.service,
        is_default_service_class=config.classes.default_service,
        address_pools=tuple(
            AddressPool(
                name=pool.name,
                ranges=tuple(
                    _range(text, f"{name}: addresses.pools[{number}].cidrs[{index}]")
                    for index, text in enumerate(pool.cidrs)
                ),
            )
            for number, pool in enumerate(config.addresses.pools)
        ),
        shared=_shared(texts, f"{name}: addresses.shared"),
        http_port=config.ports.http,
        https_port=config.ports.https,
        path=config.path,
        trusted=tuple(
            _network(text, f"{name}: reach.trust[{number}]")
            for number, text in enumerate(config.reach.trust)
        ),
        allocation=config.reach.allocation,
        tunnel=TunnelKind(config.reach.tunnel),
        bgp=bgp_options(config, name=name),
        allows_loopback=config.cluster.allow_loopback,
        writes_back=config.cluster.manifests is None,
        trusted_hops=config.http.trusted_hops,
        tls_policy=config.tls.policy,
        http3=config.tls.http3,
        default_certificate=_secret(
            config.tls.default_certificate, f"{name}: tls.defaultCertificate"
        ),
        staples=config.tls.ocsp_stapling,
        issuers=issuer_options(config.acme),
        answers=answers_secret(config.acme, config.cluster.namespace),
        shared_accepts_proxy_protocol=config.http.accept_proxy_protocol,
        transparent_clients=tuple(
            _network(text, f"{name}: transparent.clients[{number}]")
            for number, text in enumerate(config.transparent.clients)
        ),
    )


def state_directory(config: Config) -> Path:
    """Return where this process keeps what outlives it."""
    if config.state is not None:
        return Path(config.state).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/onehop")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "onehop"


def control_socket(config: Config) -> Path:
    """Return where `onehop status` and `onehop confirm` find the running program."""
    return state_directory(config) / "control.sock"


def parse_listen(text: str, *, name: str) -> tuple[str, int]:
    """Return address and port of `127.0.0.1:9080` or `[::1]:9080`.

    Raises:
        ConfigError: it is not of that form.
    """
    host, colon, port = text.rpartition(":")
    address = parse_ip(host.strip("[]"))
    is_port = port.isascii() and port.isdigit() and int(port) <= _LAST_PORT
    if not colon or address is None or not is_port:
        raise ConfigError(
            f"{name}: listen.metrics: {text!r}; allowed is ADDRESS:PORT, such as 127.0.0.1:9080"
        )
    return address, int(port)


def _secret(text: str | None, key: str) -> ObjectRef | None:
    if text is None:
        return None
    namespace, _, name = text.partition("/")
    if not (is_object_name(namespace) and is_object_name(name)):
        raise ConfigError(f"{key}: {text!r}; allowed is NAMESPACE/NAME of a Secret")
    return ObjectRef("Secret", namespace, name)


def _network(text: str, key: str) -> Cidr:
    network = parse_cidr(text)
    if network is None:
        raise ConfigError(f"{key}: {text!r}; allowed is a network, such as 10.244.0.0/16")
    return network


def _shared(texts: tuple[str, ...], key: str) -> tuple[IpAddr, ...]:
    parsed = tuple(parse_ip(text) for text in texts)
    addresses = tuple(address for address in parsed if address is not None)
    families = {is_ipv6(address) for address in addresses}
    if len(addresses) != len(texts) or len(families) != len(texts):
        raise ConfigError(f"{key}: {', '.join(texts)!r}; allowed is one IP address of each family")
    return addresses


def _range(text: str, key: str) -> tuple[IpAddr, IpAddr]:
    first, dash, last = (part.strip() for part in text.partition("-"))
    try:
        if not dash:
            network = ipaddress.ip_network(text)
            return IpAddr(str(network[0])), IpAddr(str(network[-1]))
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    except ValueError as err:
        raise ConfigError(f"{key}: {text!r}: {err}; allowed is {_RANGES}") from err
    if low.version != high.version or int(low) > int(high):
        raise ConfigError(
            f"{key}: {text!r}: runs backwards or mixes families; allowed is {_RANGES}"
        )
    return IpAddr(str(low)), IpAddr(str(high))


def _in_words(err: msgspec.ValidationError, raw: Any) -> str:
    """Turn `Object contains unknown field `x` - at `$.a`` into `a.x: ...` with what is allowed."""
    message, _, place = str(err).partition(" - at ")
    path = place.strip("`").removeprefix("$").removeprefix(".")
    unknown = "Object contains unknown field "
    if message.startswith(unknown):
        key = message.removeprefix(unknown).strip("`")
        known = ", ".join(_known_keys(path, _value_at(raw, path)))
        return f"{f'{path}.' if path else ''}{key}: no such key; allowed here are {known}"
    if message.startswith("Invalid enum value"):
        message = f"allowed is {' | '.join(_words(_type_at(path)))}"
    section, _, key = path.rpartition(".")
    if key == "type" and message.startswith("Invalid value"):
        message = f"allowed is {' | '.join(_tags(_type_at(section)))}"
    return f"{path or 'the file'}: {message}, not {_value_at(raw, path)!r}"


def _words(kind: Any) -> tuple[str, ...]:
    """Return the words that a key may have: of an enum, of a Literal, of either in a union."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(str(word.value) for word in kind)
    words = (word for each in get_args(kind) for word in _words(each))
    lists = ("a list",) if any(get_origin(each) is tuple for each in get_args(kind)) else ()
    return (*words, *lists)


def _known_keys(path: str, value: Any) -> tuple[str, ...]:
    """Return the keys of a section; of one that comes in several types, those of its own."""
    kinds = tuple(_structs_in(_type_at(path)))
    tag = value.get("type") if isinstance(value, dict) else None
    kind = next((each for each in kinds if each.__struct_config__.tag == tag), kinds[0])
    type_key = () if kind.__struct_config__.tag is None else ("type",)
    return tuple(sorted((*kind.__struct_encode_fields__, *type_key)))


def _tags(kind: Any) -> tuple[str, ...]:
    return tuple(str(each.__struct_config__.tag) for each in _structs_in(kind))


def _type_at(path: str) -> Any:
    """Return the type of a key, as `bgp.neighbors[0].asn` or `bgp.neighbors[...]`."""
    kind: Any = Config
    for part in filter(None, re.sub(r"\[[^]]*\]", "", path).split(".")):
        fields = msgspec.structs.fields(next(_structs_in(kind)))
        kind = next(field.type for field in fields if field.encode_name == part)
    return kind


def _structs_in(kind: Any) -> Iterator[Any]:
    """Yield the sections that a type is, or is a list of, or may be."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for each in get_args(kind):
        yield from _structs_in(each)


def _value_at(raw: Any, path: str) -> Any:
    value = raw
    for part in filter(None, path.replace("[", ".").replace("]", "").split(".")):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit():
            value = value[int(part)]
    return value
