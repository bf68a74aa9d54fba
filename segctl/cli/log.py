"""The log on standard error: text for people, or JSON objects, one per line."""

import json
import logging
from typing import Any

from segctl.cli.root_options import FORMATS, LEVELS
from segctl.cli.screen import Screen
from segctl.core.dataclass import dataclass
from segctl.core.errors import WrongUsage
from segctl.render.phrases import format_utc
from segctl.render.style import escaped

_WORDS = {"level": LEVELS, "log_format": FORMATS}

_OFF = logging.CRITICAL + 1
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""The attributes that every record has. All others are fields of the message."""


@dataclass(frozen=True, kw_only=True)
class LogSetting:
    """The log that ``SEGCTL_LOG`` asks for."""

    level: str = "warning"
    log_format: str = "text"


def parse_log_setting(value: str) -> LogSetting:
    """Return the setting: a level, a format, or both with a comma. Empty gives the defaults.

    Raises ``WrongUsage``.
    """
    chosen: dict[str, str] = {}
    for word in filter(None, (part.strip().lower() for part in value.split(","))):
        kind = next((k for k, words in _WORDS.items() if word in words), None)
        if kind is None or kind in chosen:
            raise WrongUsage(
                f"SEGCTL_LOG is {value!r}",
                hint=f"It is a level ({', '.join(LEVELS)}), a format ({', '.join(FORMATS)}), or "
                "both with a comma: debug,json.",
            )
        chosen[kind] = word
    return LogSetting(**chosen)


def install_log(screen: Screen, *, level: str, log_format: str) -> None:
    """Send the records of all loggers from ``level`` up to the screen's standard error."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _ToScreen)]:
        root.removeHandler(handler)
    root.addHandler(_ToScreen(screen, as_json=log_format == "json"))
    root.setLevel(_OFF if level == "off" else level.upper())


class _ToScreen(logging.Handler):
    """Writes log records, with their time, to the screen's standard error."""

    def __init__(self, screen: Screen, *, as_json: bool) -> None:
        super().__init__()
        self._screen = screen
        self._as_json = as_json
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, with line breaks and control characters escaped."""
        if self._as_json:
            self._screen.err(json.dumps(log_object(record), default=_type_name) + "\n")
        else:
            self._screen.err(escaped(self.format(record)) + "\n")


def _type_name(value: object) -> str:
    """Return the type of a value that JSON cannot hold; its text could contain anything."""
    return type(value).__name__


def log_object(record: logging.LogRecord) -> dict[str, Any]:
    """Return a record as JSON values.

    Of an exception, only the type is included: its text and its traceback can quote anything.
    """
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info and record.exc_info[0]:
        fields["exception"] = record.exc_info[0].__name__
    return {
        "timestamp": format_utc(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        "fields": fields,
    }
