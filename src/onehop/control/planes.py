"""Which data plane and which address binder a configuration means."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from onehop.base.child import finish
from onehop.compile.compiler import Compiler
from onehop.compile.options import Options
from onehop.control.bgp import BgpPart
from onehop.control.config import Config
from onehop.control.configfile import compile_options, state_directory
from onehop.control.layer4 import render_with_layer4, with_layer4
from onehop.control.networking import Keeps, Networking, Part, Trials
from onehop.control.parts import StaticPart, TablePart
from onehop.control.vtmconfig import vtm_options, vtm_owner
from onehop.driver import Driver
from onehop.driver.envoy import EnvoyDriver, EnvoyOptions
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.envoy.render import render_config
from onehop.driver.haproxy import Attachment, HaproxyDriver, HaproxyOptions, describe_haproxy
from onehop.driver.haproxy.render import render_files, why_not
from onehop.driver.moving.movable import Movable
from onehop.driver.nftables import misfit
from onehop.driver.split import proxy_share
from onehop.driver.vtm import VtmDriver, render_model
from onehop.driver.vtm.fit import fit
from onehop.driver.vtm.look import describe_unit
from onehop.model.address import parse_ip
from onehop.model.model import Model, Row
from onehop.net import AddressBinder, NoBinder
from onehop.net.bird.bird import Bird
from onehop.net.bird.place import AttachedBird, BirdPlace, OwnBird
from onehop.net.fib import Fib

_VERSION_TIMEOUT_S: Final = 10.0


def make_driver(config: Config) -> Driver:
    """Return the data plane, not yet running.

    Raises:
        ConfigError: the program that it needs is not there, or keys do not go together with it.
    """
    return with_layer4(config, _make_proxy(config))


def _make_proxy(config: Config) -> Driver:
    driver = config.data_plane.driver
    if driver == "vtm":
        return VtmDriver(vtm_options(config))
    return make_movable(config, state_directory(config) / driver)


def make_movable(config: Config, place: Path) -> Movable:
    """Return the data plane of this host, not yet running.

    Args:
        config: names another one than a vTM.
        place: the folder for its sockets, and for what it reads.

    Raises:
        ConfigError: the program that it needs is not there.
    """
    if config.data_plane.driver == "haproxy":
        return HaproxyDriver(_haproxy_options(config, place))
    envoy = config.data_plane.envoy
    return EnvoyDriver(
        EnvoyOptions(
            state_dir=place,
            concurrency=envoy.concurrency,
            access_log=envoy.access_log,
            max_connections=envoy.max_connections,
            max_heap_bytes=None if envoy.max_heap_mi_b is None else envoy.max_heap_mi_b << 20,
        )
    )


def _haproxy_options(config: Config, place: Path) -> HaproxyOptions:
    haproxy = config.data_plane.haproxy
    attached = None
    if haproxy.master is not None and haproxy.include is not None:
        attached = Attachment(master=Path(haproxy.master), uid=os.geteuid())
        place = Path(haproxy.include)
    return HaproxyOptions(
        state_dir=place,
        binary=haproxy.binary,
        threads=haproxy.threads,
        max_connections=haproxy.max_connections,
        old_worker_s=haproxy.old_worker_s,
        is_privileged=os.geteuid() == 0,
        attached=attached,
    )


def make_binder(config: Config) -> AddressBinder:
    """Return who puts VIPs on an interface: nobody, unless an interface is named."""
    interface = config.addresses.bind.interface
    if interface is None:
        return NoBinder()
    from onehop.net.interface import InterfaceBinder  # noqa: PLC0415  see `onehop.net`

    return InterfaceBinder(interface)


def make_networking(config: Config, compiler: Compiler) -> Networking:
    """Return what learns the ways to Pods and keeps them, not yet running."""
    options = compile_options(config)
    keeps = Keeps(static=config.reach.routes == "static", tunnel=config.reach.tunnel != "none")
    parts: list[Part] = []
    if keeps.static:
        parts.append(StaticPart())
    if keeps.tunnel:
        from onehop.control.tunnel import TunnelPart  # noqa: PLC0415  see there

        parts.append(TunnelPart())
    if parts or config.bgp.asn is not None:
        parts.append(TablePart())
    returns: Trials | None = None
    if options.transparent_clients:
        from onehop.control.returns import Returns  # noqa: PLC0415  it brings pyroute2 as well

        returns = Returns(compiler)
    fib = Fib(stable_s=config.reach.stable_s, trust=options.trusted)
    bgp = _bgp(config, fib, options)
    return Networking(fib, parts, bgp=bgp, returns=returns, trusted=options.trusted, keeps=keeps)


def _bgp(config: Config, fib: Fib, options: Options) -> BgpPart | None:
    if config.bgp.asn is None:
        return None
    bird = config.bgp.bird
    place: BirdPlace = OwnBird(state_dir=state_directory(config) / "bird", binary=bird.binary)
    if bird.socket is not None and bird.include is not None:
        place = AttachedBird(socket=Path(bird.socket), include=Path(bird.include))
    return BgpPart(
        Bird(place),
        fib,
        router_id=parse_ip(config.bgp.router_id) if config.bgp.router_id else None,
        returns=options.transparent_clients if config.transparent.announce else (),
    )


def render_data_plane(model: Model, config: Config) -> Any:
    """Return what the data plane would get for a Model, as plain values without private keys."""
    return render_with_layer4(config, model, partial(_render_proxy, config))


def _render_proxy(config: Config, model: Model) -> Any:
    if config.data_plane.driver == "haproxy":
        files = render_files(model, _haproxy_options(config, state_directory(config) / "haproxy"))
        return {name: text.splitlines() for name, text in files.items()}
    if config.data_plane.driver == "vtm":
        machines = config.data_plane.vtm.machines
        rendered = render_model(model, owner=vtm_owner(config), machines=machines)
        rules = {name: text.splitlines() for name, text in rendered.get("rules", {}).items()}
        return {**rendered, "rules": rules} if rules else rendered
    return render_config(model)


def proxy_part(config: Config, model: Model) -> Model:
    """Return what of a Model is not served in the kernel."""
    return proxy_share(model, misfit) if config.data_plane.layer4 == "kernel" else model


def would_refuse(config: Config) -> Callable[[Row], str | None]:
    """Return what tells why the configured data plane would not take a row at all."""
    driver = config.data_plane.driver
    if driver == "haproxy":
        options = _haproxy_options(config, state_directory(config) / driver)
        return partial(why_not, options=options)
    return _unit_refuses if driver == "vtm" else lambda _row: None


def _unit_refuses(row: Row) -> str | None:
    fitted = fit(row)
    return fitted.lacks if fitted.row is None else None


async def data_plane_version(config: Config) -> str:
    """Return which program carries the traffic.

    Raises:
        OnehopError: it is not there or does not run.
    """
    if config.data_plane.driver == "haproxy":
        options = _haproxy_options(config, state_directory(config) / "haproxy")
        return await describe_haproxy(options)
    if config.data_plane.driver == "vtm":
        return await describe_unit(vtm_options(config))
    done = await finish((str(find_envoy()), "--version"), timeout_s=_VERSION_TIMEOUT_S)
    return done.out.decode().strip()
