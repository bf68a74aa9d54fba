"""Read the definition of a campaign from a request, with all that is wrong with it."""

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from typing import Any

from segctl.emulator.bodies import is_text
from segctl.emulator.engagement.campaign import (
    ANY,
    CHANNELS,
    JOURNEY,
    KINDS,
    OFFLINE,
    Definition,
    TriggerRule,
    Webhook,
)
from segctl.emulator.errors import InvalidFieldError, bad_request
from segctl.emulator.query_language import parse_event_conditions
from segctl.emulator.settings import Settings, is_number
from segctl.emulator.storage.state import ADD, API_SEGMENTS, REMOVE, Account, Segment

FIELDS = {
    "name",
    "kind",
    "channel",
    "include",
    "exclude",
    "when",
    "trigger",
    "webhook",
    "exit_on_leave",
}
MAX_NAME = 500
MAX_SEGMENTS = 2500
MAX_DELAY_SECONDS = 366 * 86_400
MAX_SECONDS_AHEAD = 10 * 366 * 86_400
MAX_URL = 2000
MAX_SECRET = 1000
MAX_KEY_VALUES = 50


class _Problems(list[str]):
    """All that is wrong with a request."""

    def catch(self, parse: Callable[[], Any], default: Any) -> Any:
        """Return what ``parse`` returns, or ``default`` if a field is invalid."""
        try:
            return parse()
        except InvalidFieldError as error:
            self.append(str(error))
            return default

    def refuse(self) -> None:
        """Raise RequestError 400 if there is any problem."""
        if self:
            raise bad_request("; ".join(self))


def parse_campaign(
    document: Any,
    *,
    account: Account,
    now: float,
    zone: tzinfo,
    settings: Settings,
    check_url: Callable[[str], None],
) -> tuple[Definition, float | None]:
    """Return the definition in a request, and its time in seconds since 1970.

    The time is None for a draft.  ``check_url`` raises InvalidFieldError for an address that
    must not be posted to.  Raises RequestError 400, which names every problem.
    """
    if not isinstance(document, dict):
        raise bad_request("a campaign is an object")
    problems = _Problems(_unknown_fields(document, FIELDS, ""))
    kind = problems.catch(lambda: _one_of(document, "kind", KINDS), OFFLINE)
    channel = problems.catch(lambda: _one_of(document, "channel", CHANNELS), CHANNELS[0])
    name = problems.catch(lambda: _text(document.get("name"), "name", MAX_NAME), "")
    include, exclude = _rules(document, account, problems)
    when, starts_at = problems.catch(
        lambda: parse_when(document.get("when"), now=now, zone=zone), (None, None)
    )
    is_offline = kind == OFFLINE
    if is_offline and not include and document.get("include") in (None, []):
        problems.append("include is empty: name at least one segment")
    if not is_offline and (include or exclude):
        problems.append(f"include and exclude are for offline campaigns; {kind} has a trigger")
    trigger = problems.catch(
        lambda: _trigger(document.get("trigger"), account, kind, settings), None
    )
    webhook = problems.catch(lambda: _webhook(document.get("webhook"), channel, check_url), None)
    exits = problems.catch(lambda: _exit_on_leave(document, kind, trigger), False)
    problems.refuse()
    definition = Definition(
        name=name,
        kind=kind,
        channel=channel,
        include=include,
        exclude=exclude,
        when=when,
        trigger=trigger,
        webhook=webhook,
        exit_on_leave=exits,
    )
    return definition, starts_at


def parse_estimate(document: Any, *, account: Account) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the included and excluded segments of an estimate; raises RequestError 400."""
    if not isinstance(document, dict):
        raise bad_request("an estimate is an object with include and exclude")
    problems = _Problems(_unknown_fields(document, FIELDS, ""))
    include, exclude = _rules(document, account, problems)
    problems.refuse()
    return include, exclude


def parse_when(value: Any, *, now: float, zone: tzinfo) -> tuple[str | None, float | None]:
    """Return ``when`` and the time it names; raises InvalidFieldError.

    A time without a zone is in the project's zone.
    """
    if value is None:
        return None, None
    if value == "now":
        return "now", now
    try:
        time = datetime.fromisoformat(value)
        time = time if time.tzinfo is not None else time.replace(tzinfo=zone)
        starts_at = time.timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidFieldError(
            'when must be "now", a time such as 2026-01-31T09:00, or null'
        ) from error
    if starts_at <= now:
        raise InvalidFieldError('when is in the past: use "now", or a later time')
    if starts_at > now + MAX_SECONDS_AHEAD:
        raise InvalidFieldError("when is more than ten years ahead")
    return time.isoformat(), starts_at


def find_segment(account: Account, value: Any, where: str) -> Segment:
    """Return the live segment that a number or a customer's id names; raises InvalidFieldError."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidFieldError(f"{where}: name a segment by ct_segment_id or customer_segment_id")
    segment = account.find_segment(value)
    if segment is None:
        raise InvalidFieldError(f"{where}: account {account.id} has no segment {value!r:.120}")
    if segment.is_deleted:
        raise InvalidFieldError(f"{where}: segment {value!r:.120} was deleted")
    return segment


def _unknown_fields(document: dict[str, Any], known: set[str], prefix: str) -> Iterable[str]:
    return [f"unknown field {prefix}{name}" for name in document if name not in known]


def _one_of(document: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = document.get(name)
    if not isinstance(value, str) or value not in choices:
        raise InvalidFieldError(f"{name} must be one of {', '.join(choices)}")
    return value


def _text(value: Any, name: str, longest: int) -> str:
    if not is_text(value) or len(value) > longest:
        raise InvalidFieldError(
            f"{name} must be text of 1 to {longest} characters that is not blank"
        )
    return value


def _segments(value: Any, account: Account, name: str) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_SEGMENTS:
        raise InvalidFieldError(f"{name} must be an array of at most {MAX_SEGMENTS} segments")
    found = [find_segment(account, each, name).id for each in value]
    return tuple(dict.fromkeys(found))


def _rules(
    document: dict[str, Any], account: Account, problems: _Problems
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the included and the excluded segments."""
    include = problems.catch(lambda: _segments(document.get("include"), account, "include"), ())
    exclude = problems.catch(lambda: _segments(document.get("exclude"), account, "exclude"), ())
    return include, exclude


def _trigger(document: Any, account: Account, kind: str, settings: Settings) -> TriggerRule | None:
    if kind == OFFLINE:
        if document is not None:
            raise InvalidFieldError(
                "an offline campaign has no trigger: use include, exclude and when"
            )
        return None
    if not isinstance(document, dict):
        raise InvalidFieldError(
            f"a campaign of kind {kind} needs a trigger with action and segment"
        )
    known = {"action", "segment", "where", "delay_seconds"}
    problems = _Problems(_unknown_fields(document, known, "trigger."))
    action = document.get("action")
    if action not in (ADD, REMOVE, ANY):
        problems.append(f"trigger.action must be one of {ADD}, {REMOVE}, {ANY}")
    segment = document.get("segment")
    if segment is not None:
        segment = problems.catch(lambda: _trigger_segment(segment, account), None)
    where, wrong = parse_event_conditions(document.get("where"), "trigger.where", settings=settings)
    problems += wrong
    delay = document.get("delay_seconds")
    delay = 0 if delay is None else delay
    if not is_number(delay, 0, MAX_DELAY_SECONDS):
        problems.append(f"trigger.delay_seconds must be a number from 0 to {MAX_DELAY_SECONDS}")
    if problems:
        raise InvalidFieldError("; ".join(problems))
    return TriggerRule(action=str(action), segment=segment, where=where, delay_seconds=delay)


def _trigger_segment(value: Any, account: Account) -> int:
    segment = find_segment(account, value, "trigger.segment")
    if segment.category != API_SEGMENTS:
        # The vendor's page: the event is raised for segments created by the API.
        raise InvalidFieldError(
            f"trigger.segment: only API Segments raise the event, and this is {segment.category}"
        )
    return segment.id


def _webhook(document: Any, channel: str, check_url: Callable[[str], None]) -> Webhook | None:
    if channel != "webhook":
        if document is not None:
            raise InvalidFieldError("webhook is for the channel webhook")
        return None
    if not isinstance(document, dict):
        raise InvalidFieldError("the channel webhook needs a webhook with a url")
    problems = _Problems(_unknown_fields(document, {"url", "secret", "key_values"}, "webhook."))
    url = problems.catch(lambda: _text(document.get("url"), "webhook.url", MAX_URL), "")
    if url:
        problems.catch(lambda: check_url(url), None)
    secret = document.get("secret")
    if secret is not None:
        secret = problems.catch(lambda: _text(secret, "webhook.secret", MAX_SECRET), None)
    key_values = document.get("key_values")
    key_values = {} if key_values is None else key_values
    if (
        not isinstance(key_values, dict)
        or len(key_values) > MAX_KEY_VALUES
        or not all(isinstance(each, str) for each in key_values.values())
    ):
        problems.append(f"webhook.key_values must be an object of at most {MAX_KEY_VALUES} texts")
    if problems:
        raise InvalidFieldError("; ".join(problems))
    return Webhook(url=url, secret=secret, key_values=key_values)


def _exit_on_leave(document: dict[str, Any], kind: str, trigger: TriggerRule | None) -> bool:
    value = document.get("exit_on_leave")
    value = False if value is None else value
    if not isinstance(value, bool):
        raise InvalidFieldError("exit_on_leave must be true or false")
    if value and kind != JOURNEY:
        raise InvalidFieldError("exit_on_leave is for journeys")
    if value and trigger is not None and (trigger.action != ADD or trigger.segment is None):
        raise InvalidFieldError("exit_on_leave needs a trigger with action ADD and a segment")
    return value
