"""dns-01 by HTTP POSTs, to whoever can set a TXT record.

The requests are those of lego's `httpreq` provider, for which there are servers already:
https://go-acme.github.io/lego/dns/httpreq/.
"""

import asyncio
from typing import Final, Literal

import aiohttp

from onehop.acme.issuer import Webhook
from onehop.acme.refusal import printable
from onehop.acme.solver.solver import txt_name, txt_value
from onehop.base.errors import SolverRefused, SolverUnavailable
from onehop.base.trust import trusting

_TIMEOUT_S: Final = 150.0
"""The answer may come as late as the record is visible."""
_QUOTED: Final = 300
_OK: Final = 200
_MULTIPLE_CHOICES: Final = 300
_SERVER_ERROR: Final = 500
_TOO_MANY_REQUESTS: Final = 429


class WebhookSolver:
    """Asks for records to be set and removed."""

    def __init__(self, choice: Webhook) -> None:
        self._choice = choice

    async def present(self, host: str, token: str, authorization: str) -> None:
        """Ask for the record."""
        del token  # part of the authorization
        await self._post("present", host, authorization)

    async def clean(self, host: str, token: str, authorization: str) -> None:
        """Ask for its removal."""
        del token
        await self._post("cleanup", host, authorization)

    async def _post(
        self, action: Literal["present", "cleanup"], host: str, authorization: str
    ) -> None:
        choice = self._choice
        url = f"{choice.url.rstrip('/')}/{action}"
        body = {"fqdn": txt_name(host), "value": txt_value(authorization)}
        login = (
            aiohttp.BasicAuth(choice.username, choice.password.reveal) if choice.username else None
        )
        trust = await asyncio.to_thread(trusting, ca_pem=choice.ca_pem)
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                aiohttp.ClientSession(auth=login) as http,
                http.post(url, json=body, ssl=trust, allow_redirects=False) as response,
            ):
                said = (await response.content.read(_QUOTED)).decode(errors="replace")
                status = response.status
        except TimeoutError as err:
            raise SolverUnavailable(f"{url} has not answered within {_TIMEOUT_S:.0f} s") from err
        except (aiohttp.ClientError, ValueError) as err:
            raise SolverUnavailable(f"{url}: {err or type(err).__name__}") from err
        if _OK <= status < _MULTIPLE_CHOICES:
            return
        message = f"{url} answered {status}: {printable(said)}"
        if status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
            raise SolverUnavailable(message)
        raise SolverRefused(message)
