"""Where to serve, in words, and the socket that is bound there.

Rule: without a host it is this machine's own, which nobody else reaches.
"""

from __future__ import annotations

import errno
import socket

from mdtool.errors import PortInUse, UsageError

LOOPBACK = "127.0.0.1"
BACKLOG = 128
HIGHEST_PORT = 65535


def parse_address(text: str) -> tuple[str, int]:
    """The host and the port in HOST:PORT, [HOST]:PORT, :PORT or PORT. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _no_address(text)
    if not (port.isascii() and port.isdecimal()) or int(port) > HIGHEST_PORT:
        raise _no_address(text)
    return host or LOOPBACK, int(port)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; nobody is answered until somebody serves it. Raises PortInUse, UsageError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot serve on {host!r}: {getattr(error, 'strerror', None) or error}") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"cannot serve on {host}:{port}: the port is in use; choose another, or 0 for any"
            ) from None
        raise UsageError(f"cannot serve on {host}:{port}: {error.strerror or error}") from None
    return listening


def url(listening: socket.socket) -> str:
    """Where it is found."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _no_address(text: str) -> UsageError:
    return UsageError(f"no address to serve on: {text!r}; expected HOST:PORT or PORT, as in 127.0.0.1:9090")
