"""OpenSSL's client, which asks for an OCSP answer in the handshake."""

import asyncio
import re


async def shown_status(address: str, port: int, host: str) -> str:
    """Return what the answer in the handshake says: `good`, `revoked`; empty without one."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"{address}:{port}", "-servername", host, "-status"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = re.search(r"Cert Status: (\w+)", said.decode())
    return found[1] if found else ""
