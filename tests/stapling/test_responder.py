"""What a name resolves to is looked at as well: it may say what it likes."""

import socket
import time
from typing import Any, Final

import msgspec
import pytest

from onehop.base.errors import OcspUnavailable
from onehop.compile.staple import inquiry_of
from onehop.control.stapling.question import Question, question_of
from onehop.control.stapling.responder import Responders
from tests.stapling.ca import Ca, certificate_of
from tests.stapling.responder import responding

CA: Final = Ca()
NAME: Final = "ocsp.sly.example"


@pytest.fixture
def resolves_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name lead to this host, in two ways."""

    def here(_: str, port: int, *__: Any, **___: Any) -> list[Any]:
        mapped = ("::ffff:127.0.0.1", port, 0, 0)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", mapped),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", here)


def by_name(question: Question) -> Question:
    """Return the same question to the same port, by a name."""
    return msgspec.structs.replace(question, url=question.url.replace("127.0.0.1", NAME))


@pytest.mark.usefixtures("resolves_here")
@pytest.mark.parametrize("is_named", [False, True])
async def test_a_name_that_leads_to_this_host_is_asked_only_if_the_operator_says_so(
    *, is_named: bool
) -> None:
    """Beside us are admin sockets of others; a trusted CA has no business there."""
    async with responding(CA, time.time) as responder:
        inquiry = inquiry_of(certificate_of(responder.leaf(), CA).chain_pem)
        assert inquiry is not None
        responders = Responders(lambda host: is_named and host == NAME)
        try:
            question = by_name(question_of(inquiry))
            if is_named:
                assert await responders.ask(question)
            else:
                with pytest.raises(OcspUnavailable, match="is this host or on its link"):
                    await responders.ask(question)
        finally:
            await responders.close()
        assert len(responder.asked) == int(is_named)


async def test_nobody_at_the_other_end_is_told_as_that() -> None:
    """With the URL, for the log."""
    async with responding(CA, time.time) as responder:
        inquiry = inquiry_of(certificate_of(responder.leaf(), CA).chain_pem)
    assert inquiry is not None
    responders = Responders(lambda _: True)
    try:
        with pytest.raises(OcspUnavailable, match=f"{inquiry.url} cannot be asked"):
            await responders.ask(question_of(inquiry))
    finally:
        await responders.close()
