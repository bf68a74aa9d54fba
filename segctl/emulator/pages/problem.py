"""The page that a browser gets instead of an error in the vendor's form."""

from starlette.requests import Request
from starlette.responses import Response

from segctl.emulator.control.routing import PREFIX
from segctl.emulator.errors import BAD_REQUEST, RequestError
from segctl.emulator.pages.rendering import render
from segctl.emulator.request_log import VENDOR_PREFIXES

TITLES = {400: "This address is not valid", 404: "Not found", 405: "Not possible here"}


def wants_page(request: Request) -> bool:
    """Whether the request comes from a browser that opens one of the pages."""
    is_for_programs = request.url.path.startswith((*VENDOR_PREFIXES, PREFIX + "/"))
    return not is_for_programs and "text/html" in request.headers.get("accept", "")


def problem_page(request: Request, error: RequestError) -> Response:
    """Return the page of a refused request, with its status."""
    problem = error.text.removeprefix(BAD_REQUEST).lstrip()
    if error.status != 400:  # The first word of a 400 may be the name of a parameter.
        problem = problem[:1].upper() + problem[1:]
    return render(
        "problem.html",
        request,
        status=error.status,
        title=TITLES.get(error.status, "Refused"),
        is_segment=request.url.path.startswith("/segments/"),
        text=problem,
    )
