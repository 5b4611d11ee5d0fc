"""One REST request, its answer read whole and within bounds."""

from __future__ import annotations

from typing import NamedTuple

import aiohttp

from mdtool.venues.venue import HttpRequest


class Answered(NamedTuple):
    """What came back."""

    status: int
    retry_after: str  # the header, "" where there is none
    body: bytes

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 300


async def fetch(
    http: aiohttp.ClientSession, request: HttpRequest, url: str, *, timeout: float, max_body: int
) -> Answered:
    """The answer to `request` at `url`, whatever its status. Raises aiohttp.ClientError (also for a body of more than
    `max_body` bytes), OSError and TimeoutError."""
    async with http.request(
        request.method, url, timeout=aiohttp.ClientTimeout(total=timeout), allow_redirects=False
    ) as response:
        body = await response.content.read(max_body)
        while not response.content.at_eof():
            if len(body) >= max_body:
                raise aiohttp.ClientPayloadError(f"more than {max_body} bytes")
            body += await response.content.read(max_body - len(body))
        return Answered(response.status, response.headers.get("Retry-After", ""), body)
