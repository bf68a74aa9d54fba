"""The way of a probe through all its questions, and out again whatever happens."""

from collections.abc import Callable, Iterable

from segctl.core.errors import OperationError
from segctl.probing import changing, creating, limits
from segctl.probing.judge import Judge
from segctl.probing.probe_run import (
    WRAPPED,
    CreatedSegment,
    Declined,
    EndedEarly,
    ProbeRun,
    cannot_tell,
)
from segctl.probing.report import QUESTIONS, UNASKABLE, ProbeFinding, ProbeReport, Shell
from segctl.probing.watching import Unreadable, Watch

_SAID_NO = "not asked: you said no"


class ProbePlan:
    """One probe of one account; ``patience`` bounds the wait for an event, in seconds."""

    def __init__(self, lab: ProbeRun, *, host: str, patience: float) -> None:
        self._lab = lab
        self._host = host
        self._patience = patience
        self._lessons = {key: cannot_tell(key, why) for key, why in UNASKABLE.items()}
        self._left: tuple[str, ...] = ()
        self._interrupted = False
        self._problem = ""

    def run(self) -> ProbeReport:
        """Ask everything and clean up.

        Ctrl-C ends the asking, and is told in the result.  Raises what the provider
        raises where nothing was made yet.
        """
        try:
            self._ask_all()
        except (KeyboardInterrupt, EOFError):
            self._interrupted = True
        except Declined:
            self._problem = "without a segment nothing can be asked"
        except EndedEarly as error:
            self._problem = error.message
        except OperationError as error:
            if not self._lab.shells:
                raise
            self._problem = error.message
        except BaseException:
            self._clean()
            raise
        self._clean()
        return self._learned()

    def _ask_all(self) -> None:
        lab = self._lab
        self._keep(creating.first_segment(lab))
        first = lab.first
        if first is None:
            raise EndedEarly("the first segment is not there")
        # A wrapped first segment follows a bare array that was refused.
        refused = lab.exchanges[0].number if lab.form == WRAPPED else None
        names = ("create_body", "duplicate_name_in_account")
        self._ask(names, lambda: creating.second_segment(lab, first, refused))
        self._ask(
            ("duplicate_customer_id", "duplicate_status"),
            lambda: creating.taken_customer_id(lab, first),
        )
        self._ask(("missing_customer_id",), lambda: creating.missing_customer_id(lab))
        self._ask(("create_processing",), lambda: creating.bad_entry(lab))
        whole = self._setting("create_processing") == "all_or_nothing"
        self._ask(("duplicate_name_in_request",), lambda: creating.name_twice(lab, whole=whole))
        self._ask(("create_empty",), lambda: creating.no_segment(lab))
        self._ask(("code_100_status",), lambda: limits.no_users(lab, first))
        self._ask(("limit_counts", "limit_scope"), lambda: limits.counting(lab))
        self._ask(("rate_limit_body", "rate_limit_retry_after"), lambda: limits.in_flight(lab))
        self._ask_about_members(first, lab.second)

    def _ask_about_members(self, first: CreatedSegment, second: CreatedSegment | None) -> None:
        keys = ("visibility_lag_ms", "remove_unknown_user", "numeric_identity")
        if second is None:
            why = "there is no second segment"
            self._keep(cannot_tell(key, why) for key in (*keys, *changing.EVENT_KEYS))
            return
        lab = self._lab
        watch = Watch(lab, (first, second))
        why = ""
        try:
            lab.note("Waiting for the first event …")
            self._keep(changing.first_change(lab, watch, first, patience=self._patience))
        except Declined:
            self._keep(cannot_tell(key, _SAID_NO) for key in (*keys, *changing.EVENT_KEYS))
            return
        except Unreadable as error:
            why = str(error)
            self._keep([cannot_tell("visibility_lag_ms", why, *_number(watch))])
        first = lab.first or first
        sent = changing.send(lab, first, second, watched=not why)
        events = None
        if not why:
            try:
                lab.note("Waiting for the last event …")
                lag = float(self._setting("visibility_lag_ms") or 0) / 1000
                events = changing.read_all(
                    lab, watch, first, lag=lag, patience=max(self._patience, 2 * lag)
                )
            except Unreadable as error:
                why = str(error)
        judge = Judge(lab=lab, sent=sent, events=events, first=first, second=second, why=why)
        self._keep(judge.lessons())

    # Parts

    def _keep(self, lessons: Iterable[ProbeFinding]) -> None:
        self._lessons.update({each.key: each for each in lessons})

    def _ask(self, keys: tuple[str, ...], question: Callable[[], list[ProbeFinding]]) -> None:
        try:
            self._keep(question())
        except Declined:
            self._keep(cannot_tell(key, _SAID_NO) for key in keys)

    def _setting(self, key: str) -> str | int | None:
        lesson = self._lessons.get(key)
        return lesson.settings.get(key) if lesson else None

    def _clean(self) -> None:
        """Take the members out; a second Ctrl-C leaves them, and says so."""
        try:
            self._lab.note("Removing the members …")
            self._left = self._lab.clean()
        except KeyboardInterrupt:
            self._interrupted = True
            self._left = self._lab.members_left()
        except OperationError as error:
            self._problem = self._problem or error.message
            self._left = self._lab.members_left()

    def _learned(self) -> ProbeReport:
        why = "the probe ended before this"
        return ProbeReport(
            host=self._host,
            stem=self._lab.stem,
            lessons=tuple(self._lessons.get(key) or cannot_tell(key, why) for key in QUESTIONS),
            exchanges=tuple(self._lab.exchanges),
            shells=self._shells(),
            left_behind=self._left,
            interrupted=self._interrupted,
            problem=self._problem,
        )

    def _shells(self) -> tuple[Shell, ...]:
        """Give the segments, each once: what was doubtful may have become sure."""
        sure = {each.customer_id for each in self._lab.shells if each.sure}
        return tuple(each for each in self._lab.shells if each.sure or each.customer_id not in sure)


def _number(watch: Watch) -> tuple[int, ...]:
    return (watch.evidence,) if watch.evidence else ()
