"""Data that cannot be read or written while the service runs.

The disk may be full, or a part of the file that nothing read at the start may be
damaged.  Such a request is answered as the vendor answers a system error, and standard
error says once what is wrong with which file.
"""

import sqlite3
import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segctl.emulator.calls.vendor_call import error_response
from segctl.emulator.errors import SYSTEM_ERROR, DataFormatError, RequestError
from segctl.emulator.service import Service
from segctl.emulator.storage.damage import damage_reported


class FailureReport:
    """Middleware that answers a failure of the data with 500, and reports it."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self.app = app
        self.service = service
        self._reported: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        has_started = False

        async def note_start(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        database = self.service.store.database
        try:
            with damage_reported(database.file, only=sqlite3.Error):
                self.service.store.reload_if_failed()
                await self.app(scope, receive, note_start)
        except DataFormatError as error:
            database.distrust()
            self._report(f"{error}. {error.hint}".strip())
            if not has_started:
                await error_response(RequestError(500, SYSTEM_ERROR))(scope, receive, send)
            elif self.service.cut_connection is not None:
                # A list that ends early must not look complete.
                self.service.cut_connection(scope)
            else:
                raise

    def _report(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            print(f"Error: {text}", file=sys.stderr, flush=True)  # noqa: T201 - nothing else tells
