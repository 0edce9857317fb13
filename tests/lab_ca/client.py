"""An ACME client that can be told to do everything wrong, one thing at a time."""

import hashlib
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.b64 import b64encode
from josepy.jwa import ES256, JWASignature
from josepy.jwk import JWK, JWKEC

from onehop.lab.ca import Ca


class Said(NamedTuple):
    """What the CA answered."""

    status: int
    body: Any
    location: str
    links: str

    @property
    def kind(self) -> str:
        return str(self.body["type"]).removeprefix("urn:ietf:params:acme:error:")


class Client:
    """Signs by hand.

    Attributes:
        account: its URL, once `enrol` has made it.
    """

    def __init__(self, http: aiohttp.ClientSession, ca: Ca) -> None:
        self.key: JWK = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        self.algorithm: JWASignature = ES256
        self.account: str | None = None
        self.ca = ca
        self._http = http

    async def get(self, path: str, method: str = "GET") -> Said:
        async with self._http.request(method, f"{self.ca.url}{path}") as response:
            return await _said(response)

    async def nonce(self) -> str:
        async with self._http.head(f"{self.ca.url}/new-nonce") as response:
            assert response.status == 200
            return response.headers["Replay-Nonce"]

    def sign(self, header: dict[str, Any], payload: Any) -> dict[str, str]:
        """Return a signed body; `payload` None is POST-as-GET."""
        protected = b64(json.dumps(header).encode())
        body = "" if payload is None else b64(json.dumps(payload).encode())
        signature = self.algorithm.sign(self.key.key, f"{protected}.{body}".encode())
        return {"protected": protected, "payload": body, "signature": b64(signature)}

    async def header(self, path: str, **changed: Any) -> dict[str, Any]:
        """Return the header of a good request, changed; None takes a member away."""
        header: dict[str, Any] = {"alg": self.algorithm.name, "url": f"{self.ca.url}{path}"}
        header["nonce"] = changed["nonce"] if "nonce" in changed else await self.nonce()
        if self.account:
            header["kid"] = self.account
        else:
            header["jwk"] = self.key.public_key().to_json()
        return {name: value for name, value in (header | changed).items() if value is not None}

    async def send(self, path: str, body: Any, content_type: str = "application/jose+json") -> Said:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content_type}
        async with self._http.post(f"{self.ca.url}{path}", data=data, headers=headers) as response:
            assert response.headers["Replay-Nonce"]
            return await _said(response)

    async def post(self, path: str, payload: Any = None, **changed: Any) -> Said:
        """Send a signed request, with its header changed."""
        return await self.send(path, self.sign(await self.header(path, **changed), payload))

    async def enrol(self, **payload: Any) -> Said:
        said = await self.post("/new-account", payload)
        self.account = said.location
        return said

    async def order(self, *hosts: str, **more: Any) -> Said:
        identifiers = [{"type": "dns", "value": host} for host in hosts]
        return await self.post("/new-order", {"identifiers": identifiers, **more})

    def path(self, url: str) -> str:
        return url.removeprefix(self.ca.url)

    def authorization(self, token: str) -> str:
        return f"{token}.{b64(self.key.thumbprint())}"

    def digest(self, token: str) -> bytes:
        return hashlib.sha256(self.authorization(token).encode()).digest()


@asynccontextmanager
async def client_of(ca: Ca) -> AsyncGenerator[Client]:
    trust = ssl.create_default_context(cadata=ca.root_pem)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
        yield Client(http, ca)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


async def _said(response: aiohttp.ClientResponse) -> Said:
    text = await response.text()
    body = json.loads(text) if response.content_type.endswith("json") and text else text
    links = ", ".join(response.headers.getall("Link", []))
    return Said(response.status, body, response.headers.get("Location", ""), links)
