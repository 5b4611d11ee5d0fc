"""Whether a venue can be reached from here: its names resolved, its certificate held good, its doors open.

Rule: only for who asks for it. Nothing is subscribed to and nothing is recorded.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from mdtool.capture.client import client, through, way
from mdtool.capture.failures import CONNECT_TIMEOUT, describe
from mdtool.capture.tls import trusting
from mdtool.venues.venue import Venue

EXPIRES_SOON = 14  # days


@dataclass(frozen=True, slots=True)
class Reached:
    """One door of a venue. `why`: why it is shut; none where it is open."""

    url: str
    ms: float
    found: str
    why: str | None = None


async def reach(
    venue: Venue, ws_url: str, rest_url: str, symbols: tuple[str, ...], ca: str | None = None
) -> list[Reached]:
    """The websocket that a recording of these symbols would begin with, and the REST host."""
    async with client(ca) as http:
        plan = venue.plan(symbols, venue.default_streams)
        found = [await _try(rest_url, lambda: _rest(http, rest_url, ca))]
        if plan and plan[0].bootstrap is None:  # else the address is only had by a request for a token
            url = ws_url + plan[0].path
            found.append(await _try(url, lambda: _websocket(http, url)))
        return found


async def _try(url: str, work: Callable[[], Awaitable[str]]) -> Reached:
    began = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            found = await work()
        why = None
    except Exception as error:  # noqa: BLE001 - whatever an address comes to
        found, why = "", describe(error) + through(url)
    return Reached(url, (time.monotonic() - began) * 1000, found, why)


async def _rest(http: aiohttp.ClientSession, url: str, ca: str | None) -> str:
    """Any answer will do: it is the host that is tried."""
    async with http.get(url, allow_redirects=False, **way(url).options()) as response:
        said = [f"HTTP {response.status}"]
        if (off := _clock_off(response.headers.get("Date"))) is not None:
            said.append(f"its clock is {off:+.0f} s from this one" if abs(off) >= 2 else "its clock agrees")
        if (days := await _certificate_days(url, ca)) is not None:
            said.append(f"certificate good for {days} days")
            if days < EXPIRES_SOON:
                raise ConnectionError(f"its certificate ends in {days} days")
        return ", ".join(said)


async def _websocket(http: aiohttp.ClientSession, url: str) -> str:
    async with http.ws_connect(url, max_msg_size=1 << 24, **way(url).options()):
        return "opened"


def _clock_off(date: str | None) -> float | None:
    """Seconds a server is ahead, from its Date header, which has whole seconds."""
    try:
        said = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return (said - datetime.now(UTC)).total_seconds() + 0.5


async def _certificate_days(url: str, ca: str | None) -> int | None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or way(url).proxy is not None:
        return None  # behind a proxy nobody else may be reached
    _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=trusting(ca))
    try:
        ends = writer.get_extra_info("peercert", {}).get("notAfter")
    finally:
        writer.close()
    return None if ends is None else int((ssl.cert_time_to_seconds(ends) - time.time()) // 86_400)
