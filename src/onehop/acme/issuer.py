"""Who issues, how hosts are proven to it, and what is wished of it."""

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from onehop.acme.quota import LETS_ENCRYPT, Quota
from onehop.model.certificate import SecretText
from onehop.model.ident import ObjectRef

_LONGEST_NAME: Final = 253


class KeyType(StrEnum):
    """What kind of key a certificate gets."""

    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"


class Http01(msgspec.Struct, frozen=True, kw_only=True, tag_field="solver", tag="http-01"):
    """Prove a host by a file on port 80 (RFC 8555, section 8.3); never a wildcard."""

    zones: tuple[str, ...] = ()


class TlsAlpn01(msgspec.Struct, frozen=True, kw_only=True, tag_field="solver", tag="tls-alpn-01"):
    """Prove a host by a certificate on port 443 (RFC 8737); never a wildcard."""

    zones: tuple[str, ...] = ()


class Rfc2136(msgspec.Struct, frozen=True, kw_only=True, tag_field="solver", tag="rfc2136"):
    """Prove a host by a TXT record, set by a DNS UPDATE (RFC 2136) signed with TSIG (RFC 8945).

    Attributes:
        server: address of the zone's primary server.
        zone: the zone to update; None asks the server for it (RFC 2136, section 4.3).
        tsig_algorithm: as the server's configuration names it.
        visible_at: addresses of further servers, all asked on `port`, which must show the record
            before the CA is told to look; the primary alone if there are none.
        zones: hosts below these names only; empty means all.
    """

    server: str
    port: int = 53
    zone: str | None = None
    tsig_name: str
    tsig_secret: SecretText
    tsig_algorithm: str = "hmac-sha256"
    ttl_s: int = 60
    visible_at: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


class Webhook(msgspec.Struct, frozen=True, kw_only=True, tag_field="solver", tag="webhook"):
    """Prove a host by a TXT record, set by whoever answers HTTP POSTs at a URL.

    The requests are those of lego's `httpreq` provider (https://go-acme.github.io/lego/dns/httpreq):
    `{"fqdn", "value"}` to `URL/present` and `URL/cleanup`, any 2xx is a yes. The answer may come as
    late as the record is visible to the CA.

    Attributes:
        username: with `password`, for HTTP Basic; empty for none.
        ca_pem: certificates that the URL's must be signed by; None for those the host trusts.
    """

    url: str
    username: str = ""
    password: SecretText = SecretText("")
    ca_pem: str | None = None
    zones: tuple[str, ...] = ()


SolverChoice: TypeAlias = Http01 | TlsAlpn01 | Rfc2136 | Webhook


class ExternalAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What ties our account to a customer's (EAB: RFC 8555, section 7.3.4).

    Attributes:
        hmac_key: base64url, as the CA shows it.
    """

    key_id: str
    hmac_key: SecretText


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """A CA, and how we deal with it.

    Having one means that its terms of service are agreed to: the operator wrote it down.

    Attributes:
        directory: the https URL of the CA's directory (RFC 8555, section 7.1.1).
        contact: an e-mail address, or None.
        key_type: for certificates of wishes that ask for none.
        preferred_chain: common name of the issuer of a chain's last certificate; where the CA
            offers no such chain, its own choice is taken.
        profile: as the CA's directory lists them (draft-ietf-acme-profiles); None for its choice.
        ca_pem: certificates that the CA's own server must be signed by; None for those the host
            trusts.
        solvers: the first that the CA offers for a host, and that may prove it, is used.
        quotas: the CA's published rate limits.
    """

    name: str
    directory: str
    contact: str | None = None
    external_account: ExternalAccount | None = None
    key_type: KeyType = KeyType.ECDSA_P256
    preferred_chain: str | None = None
    profile: str | None = None
    ca_pem: str | None = None
    solvers: tuple[SolverChoice, ...] = (Http01(),)
    quotas: tuple[Quota, ...] = LETS_ENCRYPT

    def __post_init__(self) -> None:
        if not self.directory.startswith("https://"):
            raise ValueError(f"directory {self.directory!r} is not https (RFC 8555, section 6.1)")
        if not self.solvers:
            raise ValueError(f"issuer {self.name!r} has no solvers")


class CertificateWish(msgspec.Struct, frozen=True, kw_only=True):
    """A Secret that shall hold a valid certificate for some hosts.

    Attributes:
        hosts: DNS names in lower case, sorted, each once; `*.example.com` is one label deep.
        issuer: name of an `Issuer`.
        key_type: None for the issuer's.
    """

    secret: ObjectRef
    hosts: tuple[str, ...]
    issuer: str
    key_type: KeyType | None = None

    def __post_init__(self) -> None:
        if not self.hosts or self.hosts != tuple(sorted(set(self.hosts))):
            raise ValueError(f"hosts of {self.secret} are none, not sorted, or not each once")
        for host in self.hosts:
            if not _is_host(host):
                raise ValueError(f"{host!r} is not a DNS name in lower case")


def _is_host(host: str) -> bool:
    labels = host.removeprefix("*.").split(".")
    return len(host) <= _LONGEST_NAME and all(
        0 < len(label) <= 63  # noqa: PLR2004  RFC 1035, section 2.3.4
        and label.isascii()
        and label.replace("-", "").isalnum()
        and label == label.lower()
        and not label.startswith("-")
        and not label.endswith("-")
        for label in labels
    )
