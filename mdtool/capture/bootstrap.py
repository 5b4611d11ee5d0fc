"""The REST request some venues want answered before a connection is made: request and answer are records too."""

from __future__ import annotations

from typing import Protocol

import aiohttp

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
    async with http.request(
        request.method, url, timeout=aiohttp.ClientTimeout(total=TIMEOUT), allow_redirects=False
    ) as response:
        body = await response.content.read(MAX_BODY)
        while not response.content.at_eof():
            if len(body) >= MAX_BODY:
                raise aiohttp.ClientPayloadError(f"more than {MAX_BODY} bytes")
            body += await response.content.read(MAX_BODY - len(body))
        failed = not 200 <= response.status < 300
        sink.told(body, failed)
        if failed:
            raise aiohttp.ClientPayloadError(f"HTTP {response.status} to {request.method} {url}")
        return body
