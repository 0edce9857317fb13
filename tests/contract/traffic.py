"""What the suites of requests share."""

from onehop.driver import Driver
from onehop.model.model import Row, model_of
from tests.driver_envoy.world import bring_to


async def serve(driver: Driver, *rows: Row) -> None:
    """Make the rows all that is served; none of them is refused."""
    receipt = await bring_to(driver, model_of(rows))
    assert receipt.refused == ()
