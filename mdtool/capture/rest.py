"""One REST request, its answer read whole and within bounds."""

from __future__ import annotations

from typing import NamedTuple

import aiohttp

from mdtool.capture.client import LONGEST_SHOWN, way
from mdtool.capture.failures import KNOWN
from mdtool.units import count
from mdtool.venues.venue import HttpRequest

TOO_MANY = (418, 429)


class Answered(NamedTuple):
    """What came back."""

    status: int
    retry_after: str  # the header, "" where there is none
    body: bytes
    location: str = ""  # where it redirects to; nobody goes there

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 300

    @property
    def words(self) -> str:
        """Its status, and what that means."""
        if 300 <= self.status < 400 and self.location:
            return f"HTTP {self.status}, redirected to {self.location[:LONGEST_SHOWN]}, which is not followed"
        return f"HTTP {self.status}" + (f", {KNOWN[self.status]}" if self.status in KNOWN else "")


async def fetch(
    http: aiohttp.ClientSession, request: HttpRequest, url: str, *, timeout: float, max_body: int
) -> Answered:
    """The answer to `request` at `url`, whatever its status. Raises aiohttp.ClientError (also for a body of more than
    `max_body` bytes), OSError and TimeoutError."""
    async with http.request(
        request.method, url, timeout=aiohttp.ClientTimeout(total=timeout), allow_redirects=False, **way(url).options()
    ) as response:
        pieces, length = [], 0
        async for piece in response.content.iter_any():
            pieces.append(piece)
            length += len(piece)
            if length > max_body:
                raise aiohttp.ClientPayloadError(f"more than {count(max_body, 'byte')}")
        headers = response.headers
        return Answered(response.status, headers.get("Retry-After", ""), b"".join(pieces), headers.get("Location", ""))
