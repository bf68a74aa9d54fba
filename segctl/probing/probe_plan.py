"""The order of a probe's questions, and the cleaning up at the end."""

from collections.abc import Callable, Iterable

from segctl.core.errors import OperationError
from segctl.probing import create_questions, limit_questions, member_questions
from segctl.probing.event_watcher import EventWatcher, Unreadable
from segctl.probing.member_findings import MemberFindings
from segctl.probing.probe_run import (
    WRAPPED,
    CreatedSegment,
    EndedEarly,
    ProbeRun,
    WriteDeclined,
    cannot_tell,
    observed,
)
from segctl.probing.report import QUESTIONS, UNASKABLE, ProbeFinding, ProbeReport, Shell

_DECLINED = "not asked: you said no"


class ProbePlan:
    """All questions for one account. ``patience`` bounds the wait for an event, in seconds."""

    def __init__(self, probe: ProbeRun, *, host: str, patience: float) -> None:
        self._probe = probe
        self._host = host
        self._patience = patience
        self._findings = {key: cannot_tell(key, why) for key, why in UNASKABLE.items()}
        self._remaining: tuple[str, ...] = ()
        self._interrupted = False
        self._problem = ""

    def run(self) -> ProbeReport:
        """Ask every question, clean up, and return the report.

        Ctrl-C ends the questions, and the report says so. Raises the provider's errors as
        long as nothing was created.
        """
        try:
            self._ask_all()
        except (KeyboardInterrupt, EOFError):
            self._interrupted = True
        except WriteDeclined:
            self._problem = "without a segment nothing can be asked"
        except EndedEarly as error:
            self._add_findings(error.findings)
            self._problem = error.message
        except OperationError as error:
            if not self._probe.shells:
                raise
            self._problem = error.message
        except BaseException:
            self._clean_up()
            raise
        self._clean_up()
        return self._build_report()

    def _ask_all(self) -> None:
        probe = self._probe
        self._add_findings(create_questions.first_segment(probe))
        first = probe.first
        if first is None:
            raise EndedEarly("the first segment is not there")
        key = "api_segments"
        self._add_findings([observed(key, "yes", probe.exchanges[-1].number, settings={key: "on"})])
        # If the first segment was created in the wrapped form, the bare array was refused.
        refused = probe.exchanges[0].number if probe.form == WRAPPED else None
        names = ("create_body", "duplicate_name_in_account")
        self._ask(names, lambda: create_questions.second_segment(probe, first, refused))
        self._ask(
            ("duplicate_customer_id", "duplicate_status"),
            lambda: create_questions.taken_customer_id(probe, first),
        )
        self._ask_about_creates()
        self._ask(("create_empty",), lambda: create_questions.empty_create(probe))
        self._ask(("code_100_status",), lambda: limit_questions.update_without_users(probe, first))
        self._ask(("empty_entry",), lambda: limit_questions.empty_entry(probe))
        accepts_empty = self._setting("empty_entry") == "error_stream"
        self._ask(
            ("profile_updates",),
            lambda: limit_questions.profile_updates(probe, accepts_empty=accepts_empty),
        )
        updates = self._setting("profile_updates")
        self._ask(
            ("limit_counts", "limit_scope"),
            lambda: limit_questions.counting(probe, updates=updates),
        )
        self._ask(
            ("rate_limit_body", "rate_limit_retry_after"),
            lambda: limit_questions.in_flight(probe),
        )
        self._ask_about_members(first, probe.second)

    def _ask_about_creates(self) -> None:
        """Ask what a create may contain: nothing can be told if even a valid one is refused."""
        probe = self._probe
        # Without evidence it was declined, which says nothing about other creates.
        if probe.second is None and self._findings["create_body"].evidence:
            keys = ("missing_customer_id", "create_processing", "duplicate_name_in_request")
            why = "there is no second segment: other creates may be refused for the same reason"
            self._add_findings(cannot_tell(key, why) for key in keys)
            return
        self._ask(("missing_customer_id",), lambda: create_questions.missing_customer_id(probe))
        self._ask(("create_processing",), lambda: create_questions.bad_entry(probe))
        whole = self._setting("create_processing") == "all_or_nothing"
        self._ask(
            ("duplicate_name_in_request",),
            lambda: create_questions.duplicate_name(probe, whole=whole),
        )

    def _ask_about_members(self, first: CreatedSegment, second: CreatedSegment | None) -> None:
        keys = ("visibility_lag_ms", "remove_unknown_user", "numeric_identity")
        if second is None:
            why = "there is no second segment"
            self._add_findings(
                cannot_tell(key, why) for key in (*keys, *member_questions.EVENT_KEYS)
            )
            return
        probe = self._probe
        watcher = EventWatcher(probe, (first, second))
        why = ""
        try:
            probe.note("Waiting for the first event …")
            self._add_findings(
                member_questions.first_change(probe, watcher, first, patience=self._patience)
            )
        except WriteDeclined:
            self._add_findings(
                cannot_tell(key, _DECLINED) for key in (*keys, *member_questions.EVENT_KEYS)
            )
            return
        except Unreadable as error:
            why = str(error)
            self._add_findings([cannot_tell("visibility_lag_ms", why, *_evidence(watcher))])
        first = probe.first or first
        sent = member_questions.send(probe, first, second, watched=not why)
        events = None
        if not why:
            try:
                probe.note("Waiting for the last event …")
                lag = float(self._setting("visibility_lag_ms") or 0) / 1000
                events = member_questions.read_all(
                    probe, watcher, first, lag=lag, patience=max(self._patience, 2 * lag)
                )
            except Unreadable as error:
                why = str(error)
        judge = MemberFindings(
            probe=probe, sent=sent, events=events, first=first, second=second, why=why
        )
        self._add_findings(judge.findings())

    # Parts

    def _add_findings(self, findings: Iterable[ProbeFinding]) -> None:
        self._findings.update({each.key: each for each in findings})

    def _ask(self, keys: tuple[str, ...], question: Callable[[], list[ProbeFinding]]) -> None:
        try:
            self._add_findings(question())
        except WriteDeclined:
            self._add_findings(cannot_tell(key, _DECLINED) for key in keys)

    def _setting(self, key: str) -> str | int | None:
        finding = self._findings.get(key)
        return finding.settings.get(key) if finding else None

    def _clean_up(self) -> None:
        """Remove the members. A second Ctrl-C leaves them, and the report lists them."""
        try:
            self._probe.note("Removing the members …")
            self._remaining = self._probe.remove_members()
        except KeyboardInterrupt:
            self._interrupted = True
            self._remaining = self._probe.remaining_members()
        except OperationError as error:
            self._problem = self._problem or error.message
            self._remaining = self._probe.remaining_members()

    def _build_report(self) -> ProbeReport:
        why = "the probe ended before this"
        return ProbeReport(
            host=self._host,
            stem=self._probe.stem,
            findings=tuple(self._findings.get(key) or cannot_tell(key, why) for key in QUESTIONS),
            exchanges=tuple(self._probe.exchanges),
            shells=self._shells(),
            left_behind=self._remaining,
            interrupted=self._interrupted,
            problem=self._problem,
        )

    def _shells(self) -> tuple[Shell, ...]:
        """Return each segment once: a doubtful one may have been confirmed later."""
        sure = {each.customer_id for each in self._probe.shells if each.sure}
        return tuple(
            each for each in self._probe.shells if each.sure or each.customer_id not in sure
        )


def _evidence(watcher: EventWatcher) -> tuple[int, ...]:
    return (watcher.evidence,) if watcher.evidence else ()
