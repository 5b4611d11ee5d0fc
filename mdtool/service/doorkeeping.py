"""Who is let in to ask, for how long, how much of it, and how many at once.

Rule: whoever does not say what it wants within a while is cut, and gives way to who comes before that. What cannot be
understood is refused without a word of it.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from weakref import WeakSet

from aiohttp import web

MOST_CONNECTIONS = 512
PATIENCE = 10.0  # seconds for the first request to be there as a whole
KEEP_ALIVE = 75.0  # seconds between two requests; Prometheus asks once a minute or more often
LINGER = 1.0  # seconds in which what nobody wants of a request is thrown away
LONGEST_LINE = 8190  # bytes of a request's line, and of one of its fields
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": "mdtool",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False  # what a client sends is no line of ours


class Door:
    """Makes the protocol of each connection that is accepted. `server` handles requests."""

    def __init__(self, server: web.Server, most: int = MOST_CONNECTIONS, patience: float = PATIENCE) -> None:
        self._server = server
        self._most = most
        self._patience = patience
        self._spoke: WeakSet[asyncio.BaseTransport] = WeakSet()  # those that have made a request

    def spoke(self, transport: asyncio.BaseTransport | None) -> None:
        """A request came over it."""
        if transport is not None:
            self._spoke.add(transport)

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) >= self._most:
            silent = next((one for one in self._server.connections if one.transport not in self._spoke), None)
            if silent is None or silent.transport is None:
                return _Full()
            silent.transport.abort()
        loop = asyncio.get_running_loop()
        handler = _Handler(
            self._server, loop=loop, access_log=None, logger=_LOG,  # type: ignore[arg-type]
            keepalive_timeout=KEEP_ALIVE, lingering_time=LINGER,
            max_line_size=LONGEST_LINE, max_field_size=LONGEST_LINE,
        )  # fmt: skip
        loop.call_later(self._patience, self._look, handler)
        return handler

    def _look(self, handler: web.RequestHandler) -> None:
        transport = handler.transport
        if transport is not None and transport not in self._spoke:
            transport.close()


def refusal(status: int, **headers: str) -> web.Response:
    """That it cannot be had, and nothing of what was asked for."""
    return web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}\n", headers={**HEADERS, **headers})


class _Handler(web.RequestHandler):  # type: ignore[misc, type-arg, unused-ignore]
    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Of what is no request, and of a failure of ours."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        answer = refusal(status)
        answer.force_close()
        return answer


class _Full(asyncio.Protocol):
    """Nobody is there to handle it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()
