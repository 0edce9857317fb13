"""What a data plane claims it does; what it does not, it refuses at the object that asked.

One test for each capability, with two outcomes: the driver's own declaration, which is also what
the guide's table is made from, decides which one is right.
"""

import contextlib
import importlib

import pytest

from onehop.driver import Capability
from onehop.driver.capability import FEATURES
from tests.contract.planes import PLANES, MadePlane
from tests.contract.scene import CASES, Scene, Told
from tests.driver_envoy.world import backend

for part in ("connections", "tls", "requests", "endpoints"):
    importlib.import_module(f"tests.contract.claims_{part}")


@pytest.mark.parametrize("capability", Capability)
@pytest.mark.parametrize("plane", PLANES, ids=lambda made: made.__name__)
async def test_a_data_plane_does_what_it_claims_and_refuses_the_rest(
    plane: MadePlane, capability: Capability
) -> None:
    """Claimed, it behaves; not claimed, the asking row is in the Receipt and its owner is told."""
    async with backend("one") as one, backend("two") as two, plane() as running:
        scene = Scene(running, capability, one, two)
        with contextlib.suppress(Told):
            await CASES[capability](scene)
        assert scene.is_checked


def test_every_capability_has_words_and_a_case() -> None:
    """None is left out of the guide's table, and none is claimed without proof."""
    named = [capability for chapter in FEATURES.values() for capability in chapter]

    assert sorted(named) == sorted(Capability)
    assert CASES.keys() == set(Capability)
