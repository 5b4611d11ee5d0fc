"""Why a venue could not be reached, in words for one line; and how long it asks to be left alone."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from mdtool.capture.tls import distrust

CONNECT_TIMEOUT = 15.0  # seconds for all of it: name, connection, TLS, proxy, redirects and the answer
LONGEST_RETRY_AFTER = 3600.0  # a venue's ban is honoured up to this; a longer one is asked again each hour

KNOWN = {451: "the venue refuses this region", 429: "too many requests", 418: "banned for too many requests"}


class Refused(ConnectionError):
    """A request that was answered, and refused. `wait`: seconds the venue asks to be left alone."""

    def __init__(self, what: str, wait: float) -> None:
        super().__init__(what)
        self.wait = wait


def describe(error: BaseException) -> str:
    """Why a connection could not be made."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        redirected = f" from {error.request_info.real_url}, where it redirects to" if error.history else ""
        return f"HTTP {error.status}{redirected}" + (f", {KNOWN[error.status]}" if error.status in KNOWN else "")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy refuses: HTTP {error.status} {error.message}".rstrip()
    if isinstance(error, aiohttp.TooManyRedirects):
        return f"redirected in a circle, last from {error.history[-1].url}"
    if isinstance(error, aiohttp.RedirectClientError):
        return f"redirected to {error}, which is not followed; to connect there give it with --url"
    if isinstance(error, aiohttp.ServerTimeoutError):
        return f"fell silent: {error}"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:g} s"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"cannot resolve {error.host}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connecting(error)
    return str(error) or type(error).__name__


def _connecting(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        said = distrust(cause)
    elif isinstance(cause, ssl.SSLError):  # whose numbers are not the system's
        said = f"no TLS: {(cause.reason or str(cause)).replace('_', ' ').lower()}"
    else:
        said = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause)
    return f"the proxy itself: {said}" if isinstance(error, aiohttp.ClientProxyConnectionError) else said


def retry_after(header: str | None) -> float:
    """Seconds a venue asks to be left alone, said as such or as a date; 0 where it does not say."""
    if not header:
        return 0.0
    if header.isascii() and header.isdigit():
        return min(float(header[:9]), LONGEST_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    wait = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, wait), LONGEST_RETRY_AFTER)
