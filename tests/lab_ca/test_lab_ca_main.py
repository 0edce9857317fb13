"""`python -m onehop.lab.ca`, as a user starts it."""

import asyncio
import signal
import socket
import ssl
import sys
from pathlib import Path

import aiohttp

PATIENCE_S = 30.0


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "onehop.lab.ca", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_it_serves_until_ctrl_c_and_writes_its_root(tmp_path: Path) -> None:
    """It says what it is and where; the root that it wrote is the one to trust."""
    root = tmp_path / "root.pem"
    process = await start("--root", str(root))
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            lines: list[str] = []
            while not lines or not lines[-1].startswith("directory: "):
                lines.append((await process.stdout.readline()).decode())
            trust = ssl.create_default_context(cafile=root)
            url = lines[-1].removeprefix("directory: ").strip()
            async with aiohttp.ClientSession() as http, http.get(url, ssl=trust) as response:
                directory = await response.json()
            process.send_signal(signal.SIGINT)
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()

    assert "newOrder" in directory
    assert lines[0] == "This is the onehop test CA, trust it nowhere else.\n"
    assert process.returncode == 0


async def test_a_port_that_is_taken_ends_it_with_code_2(tmp_path: Path) -> None:
    """One line says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with asyncio.timeout(PATIENCE_S):
            process = await start("--root", str(tmp_path / "root.pem"), "--port", port)
            _, errors = await process.communicate()

    assert process.returncode == 2
    assert errors.decode().startswith("cannot serve: ")
