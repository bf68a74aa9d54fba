"""What a request to the emulator's own paths names: the account, numbers."""

from starlette.requests import Request

from segctl.emulator.errors import bad_request
from segctl.emulator.service import Service
from segctl.emulator.settings import BY_ACCOUNT, Settings
from segctl.emulator.storage.state import Account

MAX_NUMBER = 2**53


def service_of(request: Request) -> Service:
    """Return the service of the application."""
    service: Service = request.app.state.service
    return service


def account_of(request: Request) -> Account | None:
    """Return the account of ``?account=``, or None for all; raises RequestError 404."""
    return service_of(request).find_account(request.query_params.get("account"))


def visible_accounts(request: Request) -> list[str]:
    """Return the ids of the accounts that the client may see, sorted."""
    service = service_of(request)
    if service.requires_passcode:
        return [request.query_params["account"]]
    return sorted(service.store.accounts)


def visible_settings(request: Request) -> Settings:
    """Return the settings without what they say about accounts that the client may not see."""
    service = service_of(request)
    own = request.query_params.get("account")
    if not service.requires_passcode or own == service.store.operator:
        return service.settings
    by_account = {
        name: {
            each: value for each, value in getattr(service.settings, name).items() if each == own
        }
        for name in BY_ACCOUNT
    }
    return service.settings.changed(by_account)


def only_account_of(request: Request) -> Account:
    """Return the account of ``?account=``, or the only one there is.

    Raises RequestError: 404 for an unknown account, 400 if none is named and there are
    several.
    """
    account = account_of(request)
    if account is not None:
        return account
    accounts = service_of(request).store.accounts
    if len(accounts) != 1:
        raise bad_request("there are several accounts: name one with ?account=")
    return next(iter(accounts.values()))


def parse_number(text: str) -> int | None:
    """Return the text as a whole number up to ``MAX_NUMBER``, or None if it is not one."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_NUMBER))
    return int(text) if is_number and int(text) <= MAX_NUMBER else None


def number_of(request: Request, name: str, default: int) -> int:
    """Return a whole number of the query; raises RequestError 400."""
    text = request.query_params.get(name)
    number = default if text is None else parse_number(text)
    if number is None:
        raise bad_request(f"{name} must be a whole number from 0 to {MAX_NUMBER}")
    return number
