"""The `acme` section of the configuration: what it may say, what it asks for, what is wrong."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final, TypeAlias, assert_never
from urllib.parse import urlsplit

import msgspec

from onehop.acme.issuer import (
    ExternalAccount,
    Http01,
    Issuer,
    KeyType,
    Rfc2136,
    SolverChoice,
    TlsAlpn01,
    Webhook,
)
from onehop.acme.quota import LETS_ENCRYPT, Quota, Scope
from onehop.base.errors import ConfigError
from onehop.compile.options import IssuerOption
from onehop.compile.value import is_object_name
from onehop.control.section import Port, Section
from onehop.model.address import IpAddr, parse_ip
from onehop.model.certificate import SecretText
from onehop.model.ident import ObjectRef

_DIRECTORIES: Final = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
"""Issuers that are known by name (https://letsencrypt.org/docs/acme-protocol-updates/)."""

ANSWERS_SECRET: Final = "onehop-acme-answers"  # noqa: S105  its name
_RESERVED: Final = frozenset(("true", "false"))
_LONGEST_NAME: Final = 40


class Http01Config(Section, frozen=True, tag_field="type", tag="http-01"):
    """Hosts are proven on port 80 of the shared VIP, or of their Gateway's addresses."""

    zones: tuple[str, ...] = ()


class TlsAlpn01Config(Section, frozen=True, tag_field="type", tag="tls-alpn-01"):
    """Hosts are proven on port 443 of the shared VIP, or of their Gateway's addresses."""

    zones: tuple[str, ...] = ()


class Rfc2136Config(Section, frozen=True, kw_only=True, tag_field="type", tag="rfc2136"):
    """Hosts, and wildcards, are proven by DNS UPDATEs to a name server of yours.

    Attributes:
        server: address of the zone's primary name server.
        zone: to update; None asks the server for it.
        tsig_secret_file: holds the key in base64, and nothing else.
        visible_at: further name servers that must show a record before the CA looks.
    """

    server: str
    port: Port = 53
    zone: str | None = None
    tsig_name: str
    tsig_secret_file: str
    tsig_algorithm: str = "hmac-sha256"
    visible_at: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


class WebhookConfig(Section, frozen=True, tag_field="type", tag="webhook"):
    """Hosts, and wildcards, are proven by whoever answers at a URL, as lego's `httpreq` asks.

    Attributes:
        password_file: holds the password, and nothing else.
        ca_file: certificates that the URL's must be signed by; None for those the host trusts.
    """

    url: str
    username: str = ""
    password_file: str | None = None
    ca_file: str | None = None
    zones: tuple[str, ...] = ()


SolverConfig: TypeAlias = Http01Config | TlsAlpn01Config | Rfc2136Config | WebhookConfig


class ExternalAccountConfig(Section, frozen=True):
    """What ties our account to a customer's; `hmac_key_file` holds the key as the CA shows it."""

    key_id: str
    hmac_key_file: str


class IssuerConfig(Section, frozen=True):
    """An ACME CA; to name one is to agree to its terms of service.

    Attributes:
        directory: of the CA (RFC 8555, section 7.1.1); known for `letsencrypt` and
            `letsencrypt-staging`.
        default: asked where an object says `true`; without, it is the first of the list.
        ca_file: certificates that the CA's server must be signed by; None for those the host
            trusts.
        preferred_chain: common name of the root that the chain shall lead to.
        profile: one of those that the CA offers.
        solvers: how hosts are proven to it: of those that may prove a host, the first is used.
    """

    name: str
    directory: str | None = None
    email: str | None = None
    default: bool = False
    external_account: ExternalAccountConfig | None = None
    key_type: KeyType = KeyType.ECDSA_P256
    preferred_chain: str | None = None
    profile: str | None = None
    ca_file: str | None = None
    solvers: Annotated[tuple[SolverConfig, ...], msgspec.Meta(min_length=1)] = (Http01Config(),)


class AcmeConfig(Section, frozen=True):
    """Who issues certificates; without issuers, none are ordered.

    Attributes:
        public_addresses: addresses before a NAT that lead to the shared VIP.
        preflight: whether hosts are looked at before their first order.
    """

    issuers: tuple[IssuerConfig, ...] = ()
    public_addresses: tuple[str, ...] = ()
    preflight: bool = True


def issuer_options(acme: AcmeConfig) -> tuple[IssuerOption, ...]:
    """Return the issuers that objects may ask for, the default first."""
    ordered = sorted(acme.issuers, key=lambda issuer: not issuer.default)  # sorted is stable
    return tuple(
        IssuerOption(
            name=issuer.name,
            has_dns=any(isinstance(s, Rfc2136Config | WebhookConfig) for s in issuer.solvers),
            has_http=any(isinstance(s, Http01Config) for s in issuer.solvers),
            has_tls=any(isinstance(s, TlsAlpn01Config) for s in issuer.solvers),
        )
        for issuer in ordered
    )


def answers_secret(acme: AcmeConfig, namespace: str) -> ObjectRef | None:
    """Return where the answers to CAs stand; nowhere without issuers."""
    return ObjectRef("Secret", namespace, ANSWERS_SECRET) if acme.issuers else None


def public_addresses(acme: AcmeConfig, *, name: str) -> tuple[IpAddr, ...]:
    """Return the addresses that lead to us besides our own.

    Raises:
        ConfigError: one is none.
    """
    return tuple(
        _address(text, f"{name}: acme.publicAddresses[{number}]")
        for number, text in enumerate(acme.public_addresses)
    )


def read_issuers(acme: AcmeConfig, *, name: str) -> tuple[Issuer, ...]:
    """Return the issuers of the section, with what the files say that it names.

    Raises:
        ConfigError: the first fault found, with the path of its key.
    """
    names = [issuer.name for issuer in acme.issuers]
    for number, issuer in enumerate(names):
        key = f"{name}: acme.issuers[{number}].name"
        if issuer in _RESERVED or not is_object_name(issuer) or len(issuer) > _LONGEST_NAME:
            raise ConfigError(
                f"{key}: {issuer!r}; allowed are up to {_LONGEST_NAME} lower-case letters, digits"
                " and '-', and not true or false, which mean something in annotations"
            )
        if issuer in names[:number]:
            raise ConfigError(f"{key}: two issuers are called {issuer!r}")
    if sum(issuer.default for issuer in acme.issuers) > 1:
        raise ConfigError(f"{name}: acme.issuers: only one may say `default: true`")
    return tuple(
        _issuer(issuer, f"{name}: acme.issuers[{number}]")
        for number, issuer in enumerate(acme.issuers)
    )


def _issuer(issuer: IssuerConfig, key: str) -> Issuer:
    directory = issuer.directory or _DIRECTORIES.get(issuer.name)
    if directory is None:
        raise ConfigError(
            f"{key}.directory: missing; only {' and '.join(_DIRECTORIES)} are known by name"
        )
    url = urlsplit(directory)
    if url.scheme != "https" or not url.hostname:
        raise ConfigError(f"{key}.directory: {directory!r}; allowed is an https URL (RFC 8555)")
    account = issuer.external_account
    return Issuer(
        name=issuer.name,
        directory=directory,
        contact=issuer.email,
        external_account=ExternalAccount(
            key_id=account.key_id,
            hmac_key=_secret(account.hmac_key_file, f"{key}.externalAccount.hmacKeyFile"),
        )
        if account is not None
        else None,
        key_type=issuer.key_type,
        preferred_chain=issuer.preferred_chain,
        profile=issuer.profile,
        ca_pem=_pem(issuer.ca_file, f"{key}.caFile"),
        solvers=tuple(
            _solver(solver, f"{key}.solvers[{number}]")
            for number, solver in enumerate(issuer.solvers)
        ),
        quotas=tuple(_quotas(url.hostname)),
    )


def _quotas(ca: str) -> Iterator[Quota]:
    """Yield Let's Encrypt's limits for itself; for others, that failures be not repeated fast."""
    is_lets_encrypt = ca == "letsencrypt.org" or ca.endswith(".letsencrypt.org")
    yield from (q for q in LETS_ENCRYPT if is_lets_encrypt or q.scope is Scope.FAILURES)


def _solver(solver: SolverConfig, key: str) -> SolverChoice:
    match solver:
        case Http01Config():
            return Http01(zones=solver.zones)
        case TlsAlpn01Config():
            return TlsAlpn01(zones=solver.zones)
        case Rfc2136Config():
            return Rfc2136(
                server=_address(solver.server, f"{key}.server"),
                port=solver.port,
                zone=solver.zone,
                tsig_name=solver.tsig_name,
                tsig_secret=_secret(solver.tsig_secret_file, f"{key}.tsigSecretFile"),
                tsig_algorithm=solver.tsig_algorithm,
                visible_at=_addresses(solver.visible_at, f"{key}.visibleAt"),
                zones=solver.zones,
            )
        case WebhookConfig():
            url = urlsplit(solver.url)
            if url.scheme not in {"http", "https"} or not url.hostname:
                raise ConfigError(f"{key}.url: {solver.url!r}; allowed is an http or https URL")
            password = solver.password_file
            return Webhook(
                url=solver.url,
                username=solver.username,
                password=_secret(password, f"{key}.passwordFile") if password else SecretText(""),
                ca_pem=_pem(solver.ca_file, f"{key}.caFile"),
                zones=solver.zones,
            )
        case _:
            assert_never(solver)


def _addresses(texts: Iterable[str], key: str) -> tuple[IpAddr, ...]:
    return tuple(_address(text, f"{key}[{number}]") for number, text in enumerate(texts))


def _address(text: str, key: str) -> IpAddr:
    address = parse_ip(text)
    if address is None:
        raise ConfigError(f"{key}: {text!r}; allowed is an IP address, such as 192.0.2.53")
    return address


def _secret(path: str, key: str) -> SecretText:
    text = _read(path, key).strip()
    if not text or not text.isascii() or not text.isprintable():
        raise ConfigError(f"{key}: what {path} holds is not one line of printable ASCII")
    return SecretText(text)


def _pem(path: str | None, key: str) -> str | None:
    if path is None:
        return None
    text = _read(path, key)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigError(f"{key}: {path} holds no certificate in PEM")
    return text


def _read(path: str, key: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{key}: {path} cannot be read: {err}") from err
