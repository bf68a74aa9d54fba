"""Kills a run of the real program at a moment of one of its requests."""

import random
import subprocess
import threading
from collections.abc import Callable

from tests.e2e.outside_service import OutsideService
from tests.e2e.workshop import PATIENCE

MOMENTS = ("arrived", "applied", "answered")


class Killer:
    """Starts a run, and kills it when its n-th request reaches a moment; n is below ``most``."""

    def __init__(
        self,
        service: OutsideService,
        start: "Callable[[], subprocess.Popen[str]]",
        chance: random.Random,
        *,
        most: int,
    ) -> None:
        self._moment = chance.choice(MOMENTS)
        self._left = chance.randrange(most)
        self._turn = threading.Lock()
        self._begun = threading.Event()
        service.at = self._look
        self.process = start()
        self._begun.set()

    def _look(self, moment: str, call: str, number: int) -> None:
        del call, number
        assert self._begun.wait(PATIENCE)
        with self._turn:
            if moment == self._moment:
                self._left -= 1
            if self._left < 0:
                self.process.kill()
                self.process.wait(PATIENCE)
