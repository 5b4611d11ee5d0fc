"""One REST request, its answer read whole and within bounds."""

from __future__ import annotations

from typing import NamedTuple

import aiohttp

from mdtool.units import count
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
        pieces, length = [], 0
        async for piece in response.content.iter_any():
            pieces.append(piece)
            length += len(piece)
            if length > max_body:
                raise aiohttp.ClientPayloadError(f"more than {count(max_body, 'byte')}")
        return Answered(response.status, response.headers.get("Retry-After", ""), b"".join(pieces))
