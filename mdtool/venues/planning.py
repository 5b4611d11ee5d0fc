"""Subscriptions into connections and frames, within a venue's limits.

Rule: a symbol's subscriptions stay on one connection, so that its records share a session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mdtool.venues.venue import Connection, Heartbeat


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a venue allows. A limit it does not publish is set far below what public clients use."""

    subscriptions: int  # a connection
    args: int  # a frame
    frame_bytes: int  # a frame
    send_interval: float  # seconds between two frames


def connections(
    wanted: Iterable[tuple[str, Sequence[str]]],
    frame: Callable[[Sequence[str], int], str],
    limits: ConnectionLimits,
    *,
    path: str,
    first: tuple[str, ...] = (),
    heartbeat: Heartbeat | None = None,
) -> tuple[Connection, ...]:
    """`wanted`: canonical symbols, each with its subscriptions as wire text. `frame` makes a request of some of them,
    the frame's number (from 1) beside it. `first`: frames to send before."""
    groups: list[tuple[list[str], list[str]]] = []
    for symbol, args in wanted:
        if not groups or len(groups[-1][1]) + len(args) > limits.subscriptions:
            groups.append(([], []))
        groups[-1][0].append(symbol)
        groups[-1][1].extend(args)
    made = []
    for symbols, group in groups:
        frames = list(first)
        for number, args in enumerate(_split(group, limits), 1):
            frames.append(frame(args, number))
        made.append(Connection(path, tuple(frames), tuple(symbols), limits.send_interval, heartbeat))
    return tuple(made)


def _split(args: Sequence[str], limits: ConnectionLimits) -> Iterable[list[str]]:
    chunk: list[str] = []
    size = 0
    for arg in args:
        if chunk and (len(chunk) >= limits.args or size + len(arg) + 1 > limits.frame_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(arg)
        size += len(arg) + 1
    if chunk:
        yield chunk
