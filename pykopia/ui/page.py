"""The page put together, and the server that answers on a loopback address."""

import logging
import socket
from importlib.resources import files
from typing import Final

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pykopia.errors import PageError
from pykopia.ui.browsing import Browsing
from pykopia.ui.figures import Figures
from pykopia.ui.restoring import Restoring
from pykopia.ui.searching import Searching
from pykopia.ui.security import Guard
from pykopia.ui.site import Site

ADDRESS: Final = "127.0.0.1"
END_SECONDS: Final = 10.0
"""Time that running tasks have to stop."""
ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0f766e"/>'
    '<path d="M8 10h16M8 16h16M8 22h10" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>'
)
STATIC: Final = {"app.css": "text/css", "app.js": "text/javascript"}

log = logging.getLogger(__name__)


def page(site: Site) -> ASGIApp:
    """Return the page as an ASGI application."""
    texts = {name: (files("pykopia.ui") / "static" / name).read_bytes() for name in STATIC}
    texts["icon.svg"] = ICON.encode()
    types = {**STATIC, "icon.svg": "image/svg+xml"}

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in texts:
            return site.not_found(request)
        return Response(texts[name], media_type=types[name])

    def missing(request: Request) -> Response:
        return site.not_found(request)

    parts = (Browsing(site), Searching(site), Figures(site), Restoring(site))
    routes = [route for part in parts for route in part.routes()]
    routes.append(Route("/static/{name}", static))
    routes.append(Route("/{rest:path}", missing, methods=["GET", "POST"]))
    return Guard(Answering(Router([Mount(site.keys.base, routes=routes)]), site), site.keys)


class Answering:
    """Turns each error into a page; where an answer has begun, breaks it off, so that no client takes it for complete."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # the outermost place: no traceback may leave the program
            if begun:
                log.debug("an answer was broken off", exc_info=error)
                return
            await self._site.failure(error)(scope, receive, send)


class _ToOurLog(logging.Handler):
    """Passes the messages of the server to the log of the program; no request is among them."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("%s", record.getMessage())


class PageServer:
    """Serves the page of one repository until it is stopped."""

    def __init__(self, site: Site, *, port: int = 0) -> None:
        """Begin to listen.

        Args:
            site: what is shown.
            port: on the loopback address; 0 for any that is free.

        Raises:
            PageError: the port is taken.
        """
        self._site = site
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((ADDRESS, port))
            self._socket.listen()  # from now on the address can be opened, and no other process can take it
        except OSError as error:
            self._socket.close()
            reason = error.strerror or str(error)
            raise PageError(f"the page can't be served at {ADDRESS}:{port}: {reason}; choose another --port") from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            page(site),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)

    @property
    def address(self) -> str:
        """What to open in a browser; it holds the token."""
        return f"http://{ADDRESS}:{self.port}/?token={self._site.keys.token}"

    def run(self) -> None:
        """Serve until ``stop`` is called or, in the main thread, a signal asks to end; then stop all tasks."""
        logger, handler = logging.getLogger("uvicorn.error"), _ToOurLog()
        propagate, logger.propagate = logger.propagate, False
        logger.addHandler(handler)
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            log.debug("a signal ended the page")
        finally:
            for each in self._site.jobs.running():
                log.info("%s: canceled, because the page ends", each.title)
            if not self._site.jobs.close(END_SECONDS):
                log.warning("a task did not stop in time; a restore may be unfinished")
            self._socket.close()
            logger.removeHandler(handler)
            logger.propagate = propagate

    def stop(self) -> None:
        """Let ``run`` return; from any thread."""
        self._server.should_exit = True


__all__ = ["ADDRESS", "PageServer", "page"]
