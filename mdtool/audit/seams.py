"""Where what brings a stream's messages gives way to something else, and what lies between.

Rule: between two connections, writers or imports nothing is recorded, unless the numbers behind the seam follow those
before it.
"""

from __future__ import annotations

from enum import Enum

from mdtool.audit.ledger import Validity


class Change(Enum):
    """How what brought the messages gave way to what brings them now."""

    RECONNECT = "reconnect"  # another connection of the same writer
    STOPPED = "stop"  # another writer, by intention: what was missed meanwhile is no defect
    DIED = "writer died"
    IMPORTED = "import"  # one import ended and another began: nobody says that nothing was meant to be between


BETWEEN = {
    Change.RECONNECT: (Validity.NOT_RECORDED, "the connection was another one behind it"),
    Change.STOPPED: (Validity.NOT_RECORDED, "the recording was stopped and resumed"),
    Change.DIED: (Validity.BROKEN, "the writer died and another began"),
    Change.IMPORTED: (Validity.NOT_RECORDED, "between two imports"),
}
