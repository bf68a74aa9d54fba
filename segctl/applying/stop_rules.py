"""When an apply stops sending early: refused credentials, failures, refusals, a signal, time."""

import asyncio
from collections.abc import Callable

from segctl.core.clock import Clock
from segctl.core.outcomes import Answer, Outcome
from segctl.core.stop_signal import StopSignal, loop_callback

MAX_CONSECUTIVE_FAILURES = 8
"""After this many answers in a row without an acknowledgement, nothing more is sent."""

MIN_CONSECUTIVE_REFUSALS = 3
"""This many refused requests in a row are more than one bad request among good ones."""

MIN_SAMPLE = 20
"""The share of refused requests means nothing before this many answers."""


class StopRules:
    """Watches answers and the stop signal. Once stopped, requests in flight still finish.

    ``hold_requests`` tells the provider to let no further request leave. Nothing is sent after
    ``deadline``, a time of the ``clock`` (monotonic). Create it inside the running event loop.
    """

    def __init__(
        self,
        *,
        stop: StopSignal,
        hold_requests: Callable[[], object],
        max_refused_percent: float,
        clock: Clock,
        deadline: float | None = None,
    ) -> None:
        self.refused_credentials = ""
        self.reason = ""
        self.is_time_over = False
        self._clock = clock
        self._deadline = deadline
        self._stop = stop
        self._hold_requests = hold_requests
        self._max_refused_percent = max_refused_percent
        self._halted = asyncio.Event()
        self._failures_in_row = 0
        self._answered = 0
        self._refused = 0
        self._refused_in_row = 0
        self._any_accepted = False
        loop = asyncio.get_running_loop()
        stop.on_set(loop_callback(loop, self._halted.set))
        if deadline is not None:  # also while a request waits for its turn
            loop.call_later(max(0.0, deadline - clock.monotonic()), self._check_time)

    def is_stopped(self) -> bool:
        """Whether nothing more may be sent."""
        self._check_time()
        return self._stop.is_set or self._halted.is_set()

    def record_answer(self, answer: Answer) -> None:
        """Stop after refused credentials, or too many answers in a row without success."""
        if answer.stop:
            self.refused_credentials = answer.detail
            self._halt()
        if answer.outcome is Outcome.ACKNOWLEDGED:
            self._failures_in_row = 0
            return
        self._failures_in_row += 1
        if self._failures_in_row >= MAX_CONSECUTIVE_FAILURES and not self.reason:
            self.reason = answer.detail or str(answer.outcome)
            self._halt()

    def record_update(self, answer: Answer) -> None:
        """Stop if so many whole requests are refused that the entries are hardly the cause."""
        self.record_answer(answer)
        self._answered += 1
        if answer.outcome is Outcome.REFUSED:
            self._refused += 1
            self._refused_in_row += 1
        elif answer.outcome is Outcome.ACKNOWLEDGED:
            self._any_accepted = True
            self._refused_in_row = 0
        share = 100 * self._refused / self._answered
        if self._answered >= MIN_SAMPLE and share > self._max_refused_percent:
            self.reason = self.reason or f"{share:.0f}% of the requests were refused"
            self._halt()

    def accepts_other_requests(self) -> bool:
        """Whether the service accepted requests lately, so that a refusal is about content."""
        return self._any_accepted and self._refused_in_row < MIN_CONSECUTIVE_REFUSALS

    async def sleep(self, clock: Clock, seconds: float) -> None:
        """Wait for ``seconds``, or until sending stops."""
        sleep = asyncio.ensure_future(clock.sleep(seconds))
        halt = asyncio.ensure_future(self._halted.wait())
        _, pending = await asyncio.wait({sleep, halt}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _check_time(self) -> None:
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            self.is_time_over = True
            self._halt()

    def _halt(self) -> None:
        self._halted.set()
        self._hold_requests()
