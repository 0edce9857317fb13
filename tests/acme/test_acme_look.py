"""What is done when somebody else touches a Secret of ours."""

from tests.acme.pebble import Pebble
from tests.acme.responder import LiveResponder
from tests.acme.world import issuer_of, tended, wish


async def test_a_deleted_secret_comes_back(pebble: Pebble, responder: LiveResponder) -> None:
    """Told that it is gone, the engine does not wait for the renewal to find out."""
    wished = wish("deleted.example.com")
    async with tended([issuer_of(pebble)], [wished], responder=responder) as world:
        await world.issued(wished)
        first = world.leaf(wished)
        del world.vault.secrets[wished.secret]

        world.engine.look(wished.secret)
        await world.issued(wished)

        assert world.leaf(wished).serial_number != first.serial_number


async def test_a_look_at_a_good_secret_orders_nothing(
    pebble: Pebble, responder: LiveResponder
) -> None:
    """Our own writes come back as news, too."""
    wished = wish("looked-at.example.com")
    async with tended([issuer_of(pebble)], [wished], responder=responder) as world:
        await world.issued(wished)
        published, first = len(responder.published), world.leaf(wished)
        world.changed.clear()

        world.engine.look(wished.secret)
        world.engine.look(wish("nobodys.example.com").secret)
        await world.until(world.changed.is_set)

        assert world.leaf(wished) == first
        assert len(responder.published) == published
