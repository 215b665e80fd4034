"""Forms that change something: they are read, and refused without the secret of the session."""

from collections.abc import Callable, Mapping
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pykopia.ui.failures import Failure
from pykopia.ui.security import same
from pykopia.ui.site import Site

MOST_BYTES: Final = 64 * 1024
"""Bytes of a form."""
MOST_FIELDS: Final = 40
FORM_TYPE: Final = "application/x-www-form-urlencoded"

Form = Mapping[str, str]


def form_route(path: str, site: Site, act: Callable[[Form], Response]) -> Route:
    """Return the address of a form.

    Args:
        path: of the address.
        site: whose secret the form must have.
        act: gets the fields in a thread of its own.
    """

    async def endpoint(request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= MOST_BYTES):
            return site.failed(Failure(413, "This can't be done", "The form is too large."))
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
            return site.failed(Failure(415, "This can't be done", "This is no form of the page."))
        try:
            async with request.form(max_fields=MOST_FIELDS) as form:
                fields = {name: value for name, value in form.items() if isinstance(value, str)}
        except MultiPartException as error:
            return site.failed(Failure(400, "This can't be done", f"The form can't be read: {error.message}"))
        if not same(fields.get("secret", ""), site.keys.form):
            return site.failed(
                Failure(403, "Refused", "The form is not of this session.", "Open the page again and repeat it.")
            )
        return await run_in_threadpool(act, fields)

    return Route(path, endpoint, methods=["POST"])


def then(address: str) -> Response:
    """Return the answer to a form: look at another page, so that reloading sends nothing again."""
    return RedirectResponse(address, 303)


__all__ = ["FORM_TYPE", "MOST_BYTES", "Form", "form_route", "then"]
