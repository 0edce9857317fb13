"""Certificates with what their CA says: OpenSSL's own responder and client, and onehop between."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.client import SHARED
from tests.e2e.cluster import Cluster
from tests.e2e.objects import SHOP, Json, ingress
from tests.e2e.program import running
from tests.e2e.waiting import until
from tests.stapling.ca import END, Ca, Party
from tests.stapling.client import shown_status

pytestmark = [pytest.mark.root, pytest.mark.envoy]

PORT: Final = 8888
ORIGIN: Final = f"http://127.0.0.1:{PORT}"
CA: Final = Ca()
_INDEX: Final = "%y%m%d%H%M%SZ"


@contextlib.asynccontextmanager
async def openssl_ocsp(folder: Path, good: Party, revoked: Party) -> AsyncGenerator[None]:
    """Run OpenSSL's responder, which knows two certificates and signs as a delegate."""
    folder.mkdir(exist_ok=True)
    delegate = CA.responder()
    end = END.strftime(_INDEX)
    rows = [
        f"V\t{end}\t\t{good.certificate.serial_number:040X}\tunknown\t/CN=good",
        f"R\t{end}\t261101000000Z\t{revoked.certificate.serial_number:040X}\tunknown\t/CN=revoked",
    ]
    for name, text in {
        "index.txt": "\n".join(rows) + "\n",
        "ca.pem": CA.pem,
        "signer.pem": delegate.pem,
        "signer.key": delegate.key_pem,
    }.items():
        (folder / name).write_text(text)
    process = await asyncio.create_subprocess_exec(
        *("openssl", "ocsp", "-port", str(PORT), "-index", "index.txt", "-CA", "ca.pem"),
        *("-rsigner", "signer.pem", "-rkey", "signer.key", "-nmin", "5"),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def secret(name: str, leaf: Party) -> Json:
    """Return the Secret of a leaf and its issuer."""
    data = {"tls.crt": leaf.pem + CA.pem, "tls.key": leaf.key_pem}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SHOP},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


async def is_stapled(host: str = "good.example.com") -> bool:
    """Tell whether a client gets the answer that the certificate is good."""
    return await shown_status(SHARED, 443, host) == "good"


async def test_clients_get_the_answer_with_the_certificate(
    cluster: Cluster, config: Json, tmp_path: Path
) -> None:
    """Also after a restart, with nobody there to ask; of a revoked one the owner hears."""
    named = config | {"tls": {"ocspResponders": [ORIGIN]}}
    good, revoked = (CA.leaf(f"{name}.example.com", f"{ORIGIN}/") for name in ("good", "revoked"))
    cluster.put(
        *(secret("good", good), ingress("good", "good.example.com", secret="good")),
        *(secret("revoked", revoked), ingress("revoked", "revoked.example.com", secret="revoked")),
    )
    async with (
        openssl_ocsp(tmp_path / "ocsp", good, revoked),
        running(tmp_path / "a", named) as onehop,
    ):
        await until(is_stapled, "the answer is shown")
        await until(lambda: onehop.logged("certificate_revoked"), "the other one is logged")
        await until(lambda: "was revoked" in cluster.said("revoked"), "its owner is told")

        assert await shown_status(SHARED, 443, "revoked.example.com") == ""
        assert await onehop.metric("onehop_staples", state="good") == 1
        assert await onehop.metric("onehop_staples", state="revoked") == 1
        assert await onehop.stop() == 0

    async with running(tmp_path / "a", named):
        assert await is_stapled()


async def test_a_responder_that_nobody_named_is_not_asked(
    cluster: Cluster, config: Json, tmp_path: Path
) -> None:
    """Anybody can make a certificate with any URL in it; it is served, without an answer."""
    good, other = (CA.leaf(f"{name}.example.com", f"{ORIGIN}/") for name in ("good", "other"))
    cluster.put(secret("good", good), ingress("good", "good.example.com", secret="good"))
    async with (
        openssl_ocsp(tmp_path / "ocsp", good, other),
        running(tmp_path / "a", config) as onehop,
    ):
        (line,) = await until(lambda: onehop.logged("responder_not_asked"), "it says so")

        assert "is this host or on its link" in line["reason"]
        assert await shown_status(SHARED, 443, "good.example.com") == ""
