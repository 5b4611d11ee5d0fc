"""What a synthetic market says order by order: Coinbase's full channel, beside its levels.

Rule: `sequence` is one more with each message of the full channel, and a book of orders told at a sequence is what the
messages up to it make of the one before.
"""

from __future__ import annotations

from mdtool.exchange.forms import EVERYTHING, PlainForm, Window, Wire
from mdtool.exchange.market import Fill, Market, RestingOrder
from mdtool.exchange.rendering import iso
from mdtool.model import Scale, Side


class CoinbaseForm(PlainForm):
    """Coinbase Exchange: `full` by order, `level2_batch` by level, `matches`."""

    streams = ("full", "level2_batch", "matches")

    def __init__(self, native: str, scale: Scale, market: Market, now_ns: int) -> None:
        super().__init__(native, scale, market, now_ns)
        self.sequence = market.update_id
        self._window = Window(market, EVERYTHING)

    def _full(self, now_ns: int, kind: str, rest: str) -> Wire:
        self.sequence += 1
        return "full", (
            f'{{"type":"{kind}","time":"{iso(now_ns)}","product_id":"{self.native}","sequence":{self.sequence},{rest}}}'
        )

    def rested(self, now_ns: int, order: RestingOrder) -> list[Wire]:
        """An order, or what an incoming one left, rests in the book."""
        ids = f'"order_id":"{order_text(order.order_id)}"'
        price, size, side = self.print.price(order.price), self.print.size(order.size), _maker(order.side)
        return [
            self._full(
                now_ns, "received", f'{ids},"size":"{size}","price":"{price}","side":"{side}","order_type":"limit"'
            ),
            self._full(now_ns, "open", f'{ids},"price":"{price}","remaining_size":"{size}","side":"{side}"'),
        ]

    def taken(self, now_ns: int, order: RestingOrder, size: int, traded: bool) -> list[Wire]:
        """`size` was taken off a resting order, by an execution that was told already or by its owner."""
        price, left, side = self.print.price(order.price), self.print.size(order.size), _maker(order.side)
        ids = f'"order_id":"{order_text(order.order_id)}"'
        if not order.size:
            reason = "filled" if traded else "canceled"
            gone = self.print.size(0 if traded else size)
            return [
                self._full(
                    now_ns,
                    "done",
                    f'{ids},"price":"{price}","remaining_size":"{gone}","side":"{side}","reason":"{reason}"',
                )
            ]
        if traded:
            return []
        before = self.print.size(order.size + size)
        sizes = f'"old_size":"{before}","new_size":"{left}"'
        return [self._full(now_ns, "change", f'{ids},"price":"{price}",{sizes},"side":"{side}"')]

    def trade(self, now_ns: int, fill: Fill) -> Wire | None:
        return self._full(now_ns, "match", self._match(fill))

    def match(self, now_ns: int, fill: Fill) -> Wire:
        """The same execution for the matches channel, whose messages carry the full channel's sequence."""
        return "matches", (
            f'{{"type":"match","time":"{iso(now_ns)}","product_id":"{self.native}","sequence":{self.sequence},'
            f"{self._match(fill)}}}"
        )

    def _match(self, fill: Fill) -> str:
        maker = Side.ASK if fill.side is Side.BID else Side.BID
        return (
            f'"trade_id":{fill.trade_id},"maker_order_id":"{order_text(fill.maker)}",'
            f'"taker_order_id":"{order_text(fill.taker)}","size":"{self.print.size(fill.size)}",'
            f'"price":"{self.print.price(fill.price)}","side":"{_maker(maker)}"'
        )

    def quote(self, now_ns: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Wire | None:
        return None

    def depth(self, now_ns: int, last_id: int) -> Wire | None:
        bids, asks = self._window.changes()
        if not bids and not asks:
            return None
        rows = ",".join(
            text
            for text in (self.print.rows(bids, '["buy","%s","%s"]'), self.print.rows(asks, '["sell","%s","%s"]'))
            if text
        )
        return "level2_batch", (
            f'{{"type":"l2update","product_id":"{self.native}","changes":[{rows}],"time":"{iso(now_ns)}"}}'
        )

    def whole(self, now_ns: int, stream: str) -> str | None:
        if stream != "level2_batch":
            return None
        bids, asks = (
            self.print.rows(list(half.items()), '["%s","%s"]') for half in (self._window.bids, self._window.asks)
        )
        return (
            f'{{"type":"snapshot","product_id":"{self.native}","bids":[{bids}],"asks":[{asks}],"time":"{iso(now_ns)}"}}'
        )


def _maker(side: Side) -> str:
    return "buy" if side is Side.BID else "sell"


def order_text(number: int) -> str:
    """An order's id as the venue writes one: 5 -> "00000000-0000-0000-0000-000000000005"."""
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
