"""`onehop cert`: asking the onehop that runs on this host about certificates, and for new ones."""

import sys
from typing import TypeVar
from urllib.parse import quote

import msgspec
from rich.console import Console

from onehop.base.errors import ConfigError
from onehop.cli.cert_text import print_list, print_report, print_story
from onehop.cli.status import ask
from onehop.control.certificates.report import (
    CertificateList,
    HostStory,
    Renewal,
)
from onehop.control.certificates.words import unled_text
from onehop.control.config import Config

T = TypeVar("T")


async def list_all(config: Config, *, as_json: bool) -> bool:
    """Print a line for each Secret; return whether all are as they should be.

    Raises:
        TransientError: no onehop answers on this host.
    """
    found = await _ask(config, "GET", "/certificates", CertificateList)
    if as_json:
        _print_json(found)
    else:
        print_list(_console(), found)
    return _is_led(found) and all(each.standing.is_good for each in found.certificates)


async def show(config: Config, name: str, *, as_json: bool) -> bool:
    """Print all of a Secret, or of those that a host is wanted in; return whether they are good.

    Raises:
        ConfigError: there is none of this name.
        TransientError: no onehop answers on this host.
    """
    found = await _ask(config, "GET", "/certificates", CertificateList)
    meant = [each for each in found.certificates if each.is_meant(name)]
    if not meant:
        raise ConfigError(
            f"{name}: no Secret with a certificate, and no host of one, is called so; `onehop cert"
            " list` names all, `onehop cert why HOST` tells of a host"
        )
    if as_json:
        _print_json(msgspec.structs.replace(found, certificates=tuple(meant)))
    else:
        for report in meant:
            print_report(_console(), report, found.now)
    return _is_led(found) and all(each.standing.is_good for each in meant)


async def why(config: Config, host: str, *, as_json: bool) -> bool:
    """Print the story of a host; return whether clients see a valid certificate.

    Raises:
        ConfigError: it is no host.
        TransientError: no onehop answers on this host.
    """
    if not host or "/" in host or ":" in host:
        raise ConfigError(f"{host!r} is no host name; for a Secret: onehop cert show")
    path = f"/certificates/why?host={quote(host, safe='')}"
    story = await _ask(config, "GET", path, HostStory)
    if as_json:
        _print_json(story)
    else:
        print_story(_console(), story)
    if story.needs_leader:
        _complain(unled_text(story.leader))
    return story.is_good and not story.needs_leader


async def issue(config: Config, names: list[str], *, as_json: bool) -> bool:
    """Try again now what is not as it should be; return whether all names could be seen to.

    Raises:
        TransientError: no onehop answers on this host.
    """
    return await _renew(config, names, spares_valid=True, as_json=as_json)


async def renew(config: Config, names: list[str], *, renews_all: bool, as_json: bool) -> bool:
    """Get new certificates now; return whether all names could be seen to.

    Raises:
        ConfigError: neither names nor all, or both.
        TransientError: no onehop answers on this host.
    """
    if bool(names) is renews_all:
        raise ConfigError("name Secrets or hosts, or say --all")
    return await _renew(config, names, spares_valid=False, as_json=as_json)


async def _renew(config: Config, names: list[str], *, spares_valid: bool, as_json: bool) -> bool:
    query = "".join(f"&name={quote(name, safe='')}" for name in names)
    flag = "true" if spares_valid else "false"
    path = f"/certificates/renew?sparesValid={flag}{query}"
    done = await _ask(config, "POST", path, Renewal)
    if as_json:
        _print_json(done)
    if not done.leader.is_here:
        _complain(unled_text(done.leader))
        return False
    if not as_json:
        sys.stdout.writelines(f"{secret}: begun\n" for secret in done.begun)
        if not done.begun and not done.denied:
            sys.stdout.write("nothing to do: all that onehop makes is as it should be\n")
        elif done.begun:
            sys.stdout.write("`onehop cert list` tells how it goes\n")
    for denied in done.denied:
        meant = f"; did you mean {' or '.join(denied.near)}?" if denied.near else ""
        _complain(f"{denied.why}{meant}")
    return all(denied.is_fine for denied in done.denied)


def _is_led(found: CertificateList) -> bool:
    if found.needs_leader:
        _complain(unled_text(found.leader))
    return not found.needs_leader


async def _ask(config: Config, method: str, path: str, kind: type[T]) -> T:
    return msgspec.json.decode(await ask(config, method, path), type=kind)


def _print_json(body: object) -> None:
    sys.stdout.write(msgspec.json.encode(body).decode() + "\n")


def _complain(*lines: str) -> None:
    sys.stderr.writelines(f"onehop: {line}\n" for line in lines)


def _console() -> Console:
    return Console(highlight=False)
