"""What an exchange did in a storm, kept by itself: each fault it made, and each frame it handed to a connection.

Rule: frames are kept as digests of eight bytes, so that a run of a million costs megabytes.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b

from mdtool.exchange.server import Sent
from mdtool.exchange.storm import Injected


def digest(frame: bytes) -> int:
    return int.from_bytes(blake2b(frame, digest_size=8).digest(), "little")


class Ledger:
    """Told by the exchange as it goes."""

    def __init__(self) -> None:
        self.injected: list[Injected] = []
        self.sent: dict[int, array[int]] = {}  # connection -> digests of all frames, in order

    @property
    def frames(self) -> int:
        return sum(map(len, self.sent.values()))

    def done(self, injected: Injected) -> None:
        self.injected.append(injected)

    def handed(self, sent: Sent) -> None:
        if sent.client not in self.sent:
            self.sent[sent.client] = array("Q")
        self.sent[sent.client].append(digest(sent.frame))
