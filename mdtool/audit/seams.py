"""What the ledger says of a seam, where no number behind it proves more."""

from __future__ import annotations

from mdtool.audit.ledger import Validity
from mdtool.history.seams import WHY, Change

__all__ = ["BETWEEN", "Change"]

STATES = {Change.DIED: Validity.BROKEN}  # all others were meant to be, or may have been
BETWEEN = {change: (STATES.get(change, Validity.NOT_RECORDED), why) for change, why in WHY.items()}
