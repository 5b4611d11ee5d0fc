"""What a synthetic market says, in a venue's own form: one class a venue, one instance a symbol.

Rule: a form knows how a venue writes and numbers its messages; what happens, and when, is the simulator's. Books that
come on the stream are of the top levels a client subscribed to: a form keeps the window it has published and tells what
changed of it, so that whoever joins gets exactly what the others have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mdtool.exchange.market import Fill, Market
from mdtool.exchange.rendering import iso
from mdtool.model import Scale, Side, format_decimal
from mdtool.venues.checksum import interleaved, joined_digits
from mdtool.venues.okx.wire import HAS_CHECKSUM
from mdtool.venues.venue import at

MILLISECOND = 1_000_000
EVERYTHING = 1 << 30  # levels
KEEPALIVE = 60_000 * MILLISECOND  # OKX: a book without a change says so this often

Wire = tuple[str, str]  # the stream's name and the message
Levels = list[tuple[int, int]]  # price and size mantissas, best first


@dataclass(frozen=True, slots=True)
class Printer:
    """Mantissas as a venue prints them, always with all the digits of the scale."""

    scale: Scale

    def price(self, mantissa: int) -> str:
        return format_decimal(mantissa, self.scale.price_exp)

    def size(self, mantissa: int) -> str:
        return format_decimal(mantissa, self.scale.size_exp)

    def rows(self, levels: Levels, form: str) -> str:
        """The levels, each printed by a `form` with two %s."""
        return ",".join(form % (self.price(price), self.size(size)) for price, size in levels)

    def texts(self, levels: Levels) -> list[tuple[str, str]]:
        return [(self.price(price), self.size(size)) for price, size in levels]


class Window:
    """The top levels of a book as they were published."""

    def __init__(self, market: Market, depth: int) -> None:
        self._market = market
        self._depth = depth
        self.bids, self.asks = self._now()

    def changes(self) -> tuple[Levels, Levels]:
        """What has changed since, bids and asks; a level that has left the window or the book has size 0."""
        before = self.bids, self.asks
        self.bids, self.asks = self._now()
        after = self.bids, self.asks
        bids, asks = (_difference(old, new) for old, new in zip(before, after, strict=True))
        return sorted(bids, reverse=True), sorted(asks)

    def _now(self) -> tuple[dict[int, int], dict[int, int]]:
        bids, asks = (self._market.book(side) for side in (Side.BID, Side.ASK))
        return tuple(dict(list(half.items())[: self._depth]) for half in (bids, asks))  # type: ignore[return-value]


def _difference(old: Mapping[int, int], new: Mapping[int, int]) -> Levels:
    return [(price, size) for price, size in new.items() if old.get(price) != size] + [
        (price, 0) for price in old if price not in new
    ]


class Form(Protocol):
    """One symbol's messages. None where the venue says nothing of the kind."""

    def depth(self, now_ns: int, last_id: int) -> Wire | None:
        """The book's changes since the last call, up to the market's update id `last_id`."""
        ...

    def quote(self, now_ns: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Wire | None:
        """The best level of a side has changed."""
        ...

    def trade(self, now_ns: int, fill: Fill) -> Wire | None: ...

    def aggregate(self, now_ns: int, number: int, fills: Sequence[Fill]) -> Wire | None:
        """The executions of one incoming order at one price."""
        ...

    def whole(self, now_ns: int, stream: str) -> str | None:
        """The whole book as a message of the stream, for a client that subscribes now."""
        ...


class PlainForm:
    """What most forms share."""

    streams: tuple[str, ...] = ()  # that it publishes

    def __init__(self, native: str, scale: Scale, market: Market, now_ns: int) -> None:
        self.native = native
        self.print = Printer(scale)
        self.market = market
        self.published_ns = now_ns

    def aggregate(self, now_ns: int, number: int, fills: Sequence[Fill]) -> Wire | None:
        return None

    def whole(self, now_ns: int, stream: str) -> str | None:
        return None


class BinanceForm(PlainForm):
    """Binance spot: U to u contiguous; the whole book is REST's."""

    streams = ("depth@100ms", "bookTicker", "trade", "aggTrade")

    def __init__(self, native: str, scale: Scale, market: Market, now_ns: int) -> None:
        super().__init__(native, scale, market, now_ns)
        self._from = market.update_id + 1  # U of the next depth message
        self._changed: tuple[set[int], set[int]] = (set(), set())

    def _combined(self, stream: str, data: str) -> Wire:
        return stream, f'{{"stream":"{self.native.lower()}@{stream}","data":{data}}}'

    def touched(self, side: Side, price: int) -> None:
        """A level's size changed, maybe back to what it was: it is in the next depth message all the same."""
        self._changed[side is Side.ASK].add(price)

    def depth(self, now_ns: int, last_id: int) -> Wire | None:
        if last_id < self._from:
            return None  # nothing changed: the venue sends nothing
        bids, asks = self._changed
        bid_rows, ask_rows = (
            self.print.rows([(price, self.market.size(side, price)) for price in prices], '["%s","%s"]')
            for side, prices in ((Side.BID, sorted(bids, reverse=True)), (Side.ASK, sorted(asks)))
        )
        wire = self._combined(
            "depth@100ms",
            f'{{"e":"depthUpdate","E":{now_ns // MILLISECOND},"s":"{self.native}","U":{self._from},"u":{last_id},'
            f'"b":[{bid_rows}],"a":[{ask_rows}]}}',
        )
        self._from = last_id + 1
        bids.clear()
        asks.clear()
        return wire

    def quote(self, now_ns: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Wire | None:
        price, size = self.print.price, self.print.size
        return self._combined(
            "bookTicker",
            f'{{"u":{update_id},"s":"{self.native}","b":"{price(bid[0])}","B":"{size(bid[1])}",'
            f'"a":"{price(ask[0])}","A":"{size(ask[1])}"}}',
        )

    def trade(self, now_ns: int, fill: Fill) -> Wire | None:
        ms = now_ns // MILLISECOND
        return self._combined(
            "trade",
            f'{{"e":"trade","E":{ms},"s":"{self.native}","t":{fill.trade_id},"p":"{self.print.price(fill.price)}",'
            f'"q":"{self.print.size(fill.size)}","T":{ms},"m":{_maker_bought(fill)},"M":true}}',
        )

    def aggregate(self, now_ns: int, number: int, fills: Sequence[Fill]) -> Wire | None:
        ms = now_ns // MILLISECOND
        size = sum(fill.size for fill in fills)
        return self._combined(
            "aggTrade",
            f'{{"e":"aggTrade","E":{ms},"s":"{self.native}","a":{number},"p":"{self.print.price(fills[0].price)}",'
            f'"q":"{self.print.size(size)}","f":{fills[0].trade_id},"l":{fills[-1].trade_id},'
            f'"T":{ms},"m":{_maker_bought(fills[0])},"M":true}}',
        )


def _maker_bought(fill: Fill) -> str:
    return "false" if fill.side is Side.BID else "true"


def taker(fill: Fill) -> str:
    """Its side as most venues write it."""
    return "buy" if fill.side is Side.BID else "sell"


class OkxForm(PlainForm):
    """OKX: 400 levels, prevSeqId and seqId, the checksum until its era ends, a sign of life each minute."""

    streams = ("books", "bbo-tbt", "trades")

    def __init__(self, native: str, scale: Scale, market: Market, now_ns: int) -> None:
        super().__init__(native, scale, market, now_ns)
        self._window = Window(market, 400)
        self._seq = market.update_id

    def _message(self, channel: str, data: str, action: str = "") -> Wire:
        said = f'"action":"{action}",' if action else ""
        return channel, f'{{"arg":{{"channel":"{channel}","instId":"{self.native}"}},{said}"data":[{data}]}}'

    def _book(self, now_ns: int, action: str, bids: Levels, asks: Levels, prev: int) -> Wire:
        ladders = (self.print.rows(side, '["%s","%s","0","1"]') for side in (asks, bids))
        checksum = 0
        if at(HAS_CHECKSUM, now_ns):
            tops = (self.print.texts(list(side.items())[:25]) for side in (self._window.bids, self._window.asks))
            checksum = interleaved(*tops)
        return self._message(
            "books",
            '{{"asks":[{}],"bids":[{}],"ts":"{}","checksum":{},"prevSeqId":{},"seqId":{}}}'.format(
                *ladders, now_ns // MILLISECOND, checksum, prev, self._seq
            ),
            action,
        )

    def depth(self, now_ns: int, last_id: int) -> Wire | None:
        bids, asks = self._window.changes()
        if not bids and not asks and now_ns - self.published_ns < KEEPALIVE:
            return None
        prev, self._seq = self._seq, last_id if bids or asks else self._seq
        self.published_ns = now_ns
        return self._book(now_ns, "update", bids, asks, prev)

    def whole(self, now_ns: int, stream: str) -> str | None:
        if stream != "books":
            return None
        return self._book(now_ns, "snapshot", list(self._window.bids.items()), list(self._window.asks.items()), -1)[1]

    def quote(self, now_ns: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Wire | None:
        sides = (self.print.rows([level], '["%s","%s","0","1"]') for level in (ask, bid))
        return self._message(
            "bbo-tbt",
            '{{"asks":[{}],"bids":[{}],"ts":"{}","seqId":{}}}'.format(*sides, now_ns // MILLISECOND, update_id),
        )

    def trade(self, now_ns: int, fill: Fill) -> Wire | None:
        return self._message(
            "trades",
            f'{{"instId":"{self.native}","tradeId":"{fill.trade_id}","px":"{self.print.price(fill.price)}",'
            f'"sz":"{self.print.size(fill.size)}","side":"{taker(fill)}","ts":"{now_ns // MILLISECOND}","count":"1"}}',
        )


class KrakenForm(PlainForm):
    """Kraken's second API: bare numbers, a checksum each time. A level that falls out of the depth is not told."""

    DEPTH = 1000
    streams = ("book-1000", "ticker", "trade")

    def __init__(self, native: str, scale: Scale, market: Market, now_ns: int) -> None:
        super().__init__(native, scale, market, now_ns)
        self._window = Window(market, self.DEPTH)

    def _message(self, channel: str, kind: str, data: str) -> Wire:
        return channel, f'{{"channel":"{channel}","type":"{kind}","data":[{{"symbol":"{self.native}",{data}}}]}}'

    def _book(self, now_ns: int, kind: str, bids: Levels, asks: Levels) -> Wire:
        ladders = (self.print.rows(side, '{"price":%s,"qty":%s}') for side in (bids, asks))
        tops = (self.print.texts(list(side.items())[:10]) for side in (self._window.bids, self._window.asks))
        _, message = self._message(
            "book",
            kind,
            '"bids":[{}],"asks":[{}],"checksum":{},"timestamp":"{}"'.format(
                *ladders, joined_digits(*tops), iso(now_ns)
            ),
        )
        return f"book-{self.DEPTH}", message

    def depth(self, now_ns: int, last_id: int) -> Wire | None:
        bids, asks = self._window.changes()
        if not bids and not asks:
            return None
        told = (
            [(price, size) for price, size in side if size or not self.market.size(of, price)]
            for of, side in ((Side.BID, bids), (Side.ASK, asks))
        )
        return self._book(now_ns, "update", *told)

    def whole(self, now_ns: int, stream: str) -> str | None:
        if stream != f"book-{self.DEPTH}":
            return None
        return self._book(now_ns, "snapshot", list(self._window.bids.items()), list(self._window.asks.items()))[1]

    def quote(self, now_ns: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Wire | None:
        price, size = self.print.price, self.print.size
        return self._message(
            "ticker",
            "update",
            f'"bid":{price(bid[0])},"bid_qty":{size(bid[1])},"ask":{price(ask[0])},"ask_qty":{size(ask[1])},'
            f'"timestamp":"{iso(now_ns)}"',
        )

    def trade(self, now_ns: int, fill: Fill) -> Wire | None:
        return self._message(
            "trade",
            "update",
            f'"side":"{taker(fill)}","price":{self.print.price(fill.price)},"qty":{self.print.size(fill.size)},'
            f'"ord_type":"limit","trade_id":{fill.trade_id},"timestamp":"{iso(now_ns)}"',
        )


class BybitForm(PlainForm):
    """Bybit: 50 levels, u one more with each message, seq rising."""

    DEPTH = 50
    streams = ("orderbook.50", "publicTrade")

    def __init__(self, native: str, scale: Scale, market: Market, now_ns: int) -> None:
        super().__init__(native, scale, market, now_ns)
        self._window = Window(market, self.DEPTH)
        self._u = 2  # a snapshot with u 1 would say that the service was restarted
        self._seq = market.update_id

    def _book(self, now_ns: int, kind: str, bids: Levels, asks: Levels) -> Wire:
        topic = f"orderbook.{self.DEPTH}"
        ladders = (self.print.rows(side, '["%s","%s"]') for side in (bids, asks))
        data = '"b":[{}],"a":[{}]'.format(*ladders)
        ms = now_ns // MILLISECOND
        return topic, (
            f'{{"topic":"{topic}.{self.native}","type":"{kind}","ts":{ms},"data":{{"s":"{self.native}",{data},'
            f'"u":{self._u},"seq":{self._seq}}},"cts":{ms}}}'
        )

    def depth(self, now_ns: int, last_id: int) -> Wire | None:
        bids, asks = self._window.changes()
        if not bids and not asks:
            return None
        self._u += 1
        self._seq = last_id
        return self._book(now_ns, "delta", bids, asks)

    def whole(self, now_ns: int, stream: str) -> str | None:
        if stream != f"orderbook.{self.DEPTH}":
            return None
        return self._book(now_ns, "snapshot", list(self._window.bids.items()), list(self._window.asks.items()))[1]

    def quote(self, now_ns: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Wire | None:
        return None

    def trade(self, now_ns: int, fill: Fill) -> Wire | None:
        ms = now_ns // MILLISECOND
        return "publicTrade", (
            f'{{"topic":"publicTrade.{self.native}","type":"snapshot","ts":{ms},"data":[{{"T":{ms},"s":"{self.native}",'
            f'"S":"{taker(fill).capitalize()}","v":"{self.print.size(fill.size)}","p":"{self.print.price(fill.price)}",'
            f'"L":"ZeroPlusTick","i":"{fill.trade_id}","BT":false}}]}}'
        )


class CoinbaseAdvancedForm(PlainForm):
    """Coinbase Advanced Trade: the whole book by level, sizes absolute. A frame's number is its connection's, which
    gives it as it goes out: here it is null."""

    streams = ("level2", "market_trades", "ticker")

    def __init__(self, native: str, scale: Scale, market: Market, now_ns: int) -> None:
        super().__init__(native, scale, market, now_ns)
        self._window = Window(market, EVERYTHING)

    def _message(self, stream: str, channel: str, now_ns: int, event: str) -> Wire:
        return stream, f'{{"channel":"{channel}","timestamp":"{iso(now_ns)}","sequence_num":null,"events":[{event}]}}'

    def _book(self, now_ns: int, kind: str, bids: Levels, asks: Levels) -> Wire:
        time = iso(now_ns)
        rows = ",".join(
            f'{{"side":"{side}","event_time":"{time}","price_level":"{price}","new_quantity":"{size}"}}'
            for side, levels in (("bid", bids), ("offer", asks))
            for price, size in self.print.texts(levels)
        )
        event = f'{{"type":"{kind}","product_id":"{self.native}","updates":[{rows}]}}'
        return self._message("level2", "l2_data", now_ns, event)

    def depth(self, now_ns: int, last_id: int) -> Wire | None:
        bids, asks = self._window.changes()
        return self._book(now_ns, "update", bids, asks) if bids or asks else None

    def whole(self, now_ns: int, stream: str) -> str | None:
        if stream != "level2":
            return None
        return self._book(now_ns, "snapshot", list(self._window.bids.items()), list(self._window.asks.items()))[1]

    def quote(self, now_ns: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Wire | None:
        price, size = self.print.price, self.print.size
        ticker = (
            f'{{"type":"ticker","product_id":"{self.native}","price":"{price(bid[0])}","best_bid":"{price(bid[0])}",'
            f'"best_ask":"{price(ask[0])}","best_bid_quantity":"{size(bid[1])}","best_ask_quantity":"{size(ask[1])}"}}'
        )
        return self._message("ticker", "ticker", now_ns, f'{{"type":"update","tickers":[{ticker}]}}')

    def trade(self, now_ns: int, fill: Fill) -> Wire | None:
        maker = "SELL" if fill.side is Side.BID else "BUY"
        trade = (
            f'{{"product_id":"{self.native}","trade_id":"{fill.trade_id}","price":"{self.print.price(fill.price)}",'
            f'"size":"{self.print.size(fill.size)}","time":"{iso(now_ns)}","side":"{maker}"}}'
        )
        return self._message("market_trades", "market_trades", now_ns, f'{{"type":"update","trades":[{trade}]}}')
