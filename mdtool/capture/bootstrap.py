"""The REST request some venues want answered before a connection is made: request and answer are records too."""

from __future__ import annotations

from typing import Protocol

import aiohttp

from mdtool.capture.rest import fetch
from mdtool.venues.venue import HttpRequest

TIMEOUT = 10.0
MAX_BODY = 1024 * 1024


class BootstrapSink(Protocol):
    """Where request and answer are recorded."""

    def asked(self, request: HttpRequest, url: str) -> None: ...

    def told(self, body: bytes, failed: bool) -> None: ...


async def bootstrap(http: aiohttp.ClientSession, request: HttpRequest, base_url: str, sink: BootstrapSink) -> bytes:
    """The answer's body. Raises aiohttp.ClientError, OSError and TimeoutError, an answer other than 2xx among them."""
    url = base_url + request.path
    sink.asked(request, url)
    answer = await fetch(http, request, url, timeout=TIMEOUT, max_body=MAX_BODY)
    sink.told(answer.body, answer.failed)
    if answer.failed:
        raise aiohttp.ClientPayloadError(f"HTTP {answer.status} to {request.method} {url}")
    return answer.body
