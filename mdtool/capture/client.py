"""The way out: one client for websockets and REST, certificates verified, through the environment's proxies.

Rule: what began encrypted stays encrypted, wherever it is redirected to; and a proxy that cannot be spoken to is an
error, never passed by.
"""

from __future__ import annotations

import base64
from typing import NamedTuple, TypedDict
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from mdtool.capture.resolver import Resolver
from mdtool.capture.tls import trusting

SECURE = ("https", "wss")
LONGEST_SHOWN = 200  # characters of what somebody else says
REDIRECTS = (301, 302, 303, 307, 308)


class InTheClear(aiohttp.ClientError):
    """An encrypted connection was to go on without encryption."""


def client(ca: str | None = None) -> aiohttp.ClientSession:
    """A new one. Each request names its own time limit, and its proxy by `Way`. Raises UsageError of a CA file that is
    none."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=Resolver(), ssl=trusting(ca)),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_stays_encrypted,),
        trust_env=False,  # the library knows no proxy for wss://, and passes by what it cannot do: see `way`
    )


async def _stays_encrypted(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    response = await send(request)
    target = response.headers.get("Location")
    secure = request.url.scheme in SECURE
    if secure and target and response.status in REDIRECTS and urlsplit(target).scheme.lower() in ("http", "ws"):
        response.close()
        raise InTheClear(f"redirected to {target[:LONGEST_SHOWN]}, which is not encrypted: not followed")
    return response


class Proxied(TypedDict):
    """Of a request, how it goes out."""

    proxy: URL | None
    proxy_headers: dict[str, str] | None


class Way(NamedTuple):
    """How an address is reached."""

    proxy: URL | None  # without user and password; None: directly
    authorization: str = ""

    def options(self) -> Proxied:
        """What a request is given."""
        headers = {"Proxy-Authorization": self.authorization} if self.authorization else None
        return Proxied(proxy=self.proxy, proxy_headers=headers)


def way(url: str) -> Way:
    """How the environment wants this address to be reached: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY. Raises
    ConnectionError of a proxy that cannot be spoken to, ValueError of an address that is none."""
    proxies = getproxies_environment()
    if not proxies:
        return Way(None)
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2], proxies):
        return Way(None)
    name = "https" if parts.scheme in SECURE else "http"
    name = name if proxies.get(name) else "all"
    text = proxies.get(name)
    if not text:
        return Way(None)
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
        good = proxy.scheme == "http" and bool(proxy.host) and bool(proxy.port)
    except ValueError:
        good = False
    if not good:
        shown = text.rpartition("@")[2]  # what stands before is nobody's business
        raise ConnectionError(f"{name.upper()}_PROXY is {shown!r}, expected http://host:port")
    authorization = ""
    if proxy.raw_user is not None:
        secret = f"{unquote(proxy.raw_user)}:{unquote(proxy.raw_password or '')}"
        authorization = "Basic " + base64.b64encode(secret.encode()).decode()
    return Way(proxy.with_user(None).origin(), authorization)


def through(url: str) -> str:
    """For the end of a line on what failed: the proxy that was in between, if there was one."""
    try:
        proxy = way(url).proxy
    except Exception:  # noqa: BLE001 - a proxy or an address that is none: which is what failed
        return ""
    return "" if proxy is None else f" (through the proxy {proxy})"
