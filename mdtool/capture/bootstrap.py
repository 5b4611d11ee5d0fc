"""The REST request some venues want answered before a connection is made: request and answer are records too."""

from __future__ import annotations

from typing import Protocol

import aiohttp

from mdtool.capture.budget import Budget
from mdtool.capture.failures import Refused, retry_after
from mdtool.capture.rest import TOO_MANY, fetch
from mdtool.venues.venue import HttpRequest

TIMEOUT = 10.0
MAX_BODY = 1024 * 1024


class BootstrapSink(Protocol):
    """Where request and answer are recorded."""

    def asked(self, request: HttpRequest, url: str) -> None: ...

    def told(self, body: bytes, failed: bool) -> None: ...


async def bootstrap(
    http: aiohttp.ClientSession, request: HttpRequest, base_url: str, sink: BootstrapSink, budget: Budget | None = None
) -> bytes:
    """The answer's body. Asked at once, whatever else may be asked: without it there is no connection. Raises Refused
    of an answer other than 2xx, aiohttp.ClientError and OSError."""
    url = base_url + request.path
    sink.asked(request, url)
    try:
        answer = await fetch(http, request, url, timeout=TIMEOUT, max_body=MAX_BODY)
    except TimeoutError:
        raise ConnectionError(f"{url}: no whole answer within {TIMEOUT:g} s") from None
    sink.told(answer.body, answer.failed)
    if answer.failed:
        wait = retry_after(answer.retry_after)
        if budget is not None and wait and answer.status in TOO_MANY:
            await budget.rest(wait)
        raise Refused(f"{answer.words} to {request.method} {url}", wait)
    return answer.body
