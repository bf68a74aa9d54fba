"""The real program, killed at request boundaries: the next apply knows what was sent."""

import os
import random

import pytest

from tests.e2e.killer import Killer
from tests.e2e.workshop import PATIENCE, Workshop, identities, many, segment

CHAINS = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "torture" else 1
KILLS = 6


def manifests(chance: random.Random) -> dict[str, list[str]]:
    """Return up to five random segments with their members."""
    names = chance.sample(["a", "b", "c", "d", "e", "f"], 4)
    return {name: chance.sample(many(260), chance.randrange(20, 260)) for name in names}


@pytest.mark.parametrize("seed", range(CHAINS))
def test_a_killed_apply_is_finished_by_the_next_one(shop: Workshop, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a scenario, not a secret
    shop.project(
        "{provider: {settleSeconds: 0}, "
        "guards: {maxRemovePercent: 100, allowEmpty: true, maxDestroys: 10}}"
    )
    service = shop.service
    calm = service.at
    for _ in range(KILLS):
        declared = manifests(chance)
        shop.declare(*(segment(name, *members) for name, members in declared.items()))
        with (
            killer := Killer(
                service, lambda: shop.process("apply", "--auto-approve"), chance, most=8
            )
        ).process as process:
            process.communicate(timeout=PATIENCE)
        service.at = calm
        shop.died()
        assert killer.process.returncode in (0, -9)
        if chance.random() < 0.7:
            shop.apply()
            shop.settled()
            assert service.everyone() == {k: identities(*m) for k, m in declared.items()}
    shop.apply()
    shop.settled()
    assert service.everyone() == {k: identities(*m) for k, m in declared.items()}
