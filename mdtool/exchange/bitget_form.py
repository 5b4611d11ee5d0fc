"""What a synthetic market says in Bitget's form: 500 levels, seq and the one before it (pseq), no checksum any more.

Rule: the book comes whole to who subscribes, then in changes, each chained to the one before.
"""

from __future__ import annotations

from mdtool.exchange.forms import MILLISECOND, Levels, PlainForm, Window, Wire, taker
from mdtool.exchange.market import Fill, Market
from mdtool.model import Scale

ID_SHIFT = 22  # of a trade's id: its bits above are milliseconds


class BitgetForm(PlainForm):
    """One symbol."""

    DEPTH = 500
    streams = ("books", "books1", "trade")

    def __init__(self, native: str, scale: Scale, market: Market, now_ns: int) -> None:
        super().__init__(native, scale, market, now_ns)
        self._window = Window(market, self.DEPTH)
        self._seq = market.update_id

    def _message(self, channel: str, now_ns: int, data: str, action: str = "snapshot") -> Wire:
        arg = f'{{"instType":"SPOT","channel":"{channel}","instId":"{self.native}"}}'
        return channel, f'{{"action":"{action}","arg":{arg},"data":[{data}],"ts":{now_ns // MILLISECOND}}}'

    def _ladders(self, bids: Levels, asks: Levels) -> str:
        rows = [self.print.rows(side, '["%s","%s"]') for side in (asks, bids)]
        return f'"asks":[{rows[0]}],"bids":[{rows[1]}]'

    def _book(self, now_ns: int, action: str, bids: Levels, asks: Levels, prev: int) -> Wire:
        numbers = f'"ts":"{now_ns // MILLISECOND}","seq":{self._seq},"pseq":{prev}'
        return self._message("books", now_ns, f"{{{self._ladders(bids, asks)},{numbers}}}", action)

    def depth(self, now_ns: int, last_id: int) -> Wire | None:
        bids, asks = self._window.changes()
        if not bids and not asks:
            return None
        prev, self._seq = self._seq, last_id
        return self._book(now_ns, "update", bids, asks, prev)

    def whole(self, now_ns: int, stream: str) -> str | None:
        if stream != "books":
            return None
        window = self._window
        return self._book(now_ns, "snapshot", list(window.bids.items()), list(window.asks.items()), 0)[1]

    def quote(self, now_ns: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Wire | None:
        numbers = f'"ts":"{now_ns // MILLISECOND}","seq":{update_id}'
        return self._message("books1", now_ns, f"{{{self._ladders([bid], [ask])},{numbers}}}")

    def trade(self, now_ns: int, fill: Fill) -> Wire | None:
        ms = now_ns // MILLISECOND
        number = (ms << ID_SHIFT) + fill.trade_id % (1 << ID_SHIFT)
        return self._message(
            "trade",
            now_ns,
            f'{{"ts":"{ms}","price":"{self.print.price(fill.price)}","size":"{self.print.size(fill.size)}",'
            f'"side":"{taker(fill)}","tradeId":"{number}"}}',
            "update",
        )
