"""Deribit: perpetuals, futures, options and spot, over JSON-RPC.

Rule: a book's first message is the whole of it; every later one names the change_id it follows.

Sources: docs.deribit.com "book.(instrument_name).(interval)", "trades...", "ticker...", "quote...", "perpetual...",
"instrument.state...", "platform_state", "public/set_heartbeat", "Connection management", "Rate limits", and the naming
of instruments. `raw` channels need a login since 2021; without one 100ms is the finest, so that is the default. The
capture at hand is of raw books and tickers of options; it holds no trade, so that trade_seq leaves none out, and the
`liquidation` mark of a trade, rest on the documentation alone. Combos have no symbol here: their prices may be below 0.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.model import Message, Quote
from mdtool.venues.decoding import other, strict
from mdtool.venues.deribit.symbols import DeribitSymbols
from mdtool.venues.deribit.wire import DECODERS, SPARE
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import BookSteps, ContiguousRule, IdRule, Rule, TimeRule, Verdict
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import inner, listed, number_of, said
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    Connection,
    Decoder,
    Place,
    Refused,
    Reply,
    Request,
    Wanted,
)

CONNECTIONS = 32  # of an address, REST requests under way among them
# 500 channels a request were accepted in practice; how many a connection may have is not published. A subscription
# costs 3,000 credits of 10,000 a second.
LIMITS = ConnectionLimits(subscriptions=400, args=100, frame_bytes=16_000, send_interval=0.4)
HEARTBEAT = 30  # seconds; the venue takes none below 10
MAX_CHANNEL = 120  # bytes
KINDS = frozenset({"any", "combo", "future", "future_combo", "option", "option_combo", "spot"})

UNSUBSCRIBING = 9998  # the number of such requests, whose answers are no answers to others
NOT_LISTED = "the answer leaves it out: there is no such channel"

_SET_HEARTBEAT = f'{{"jsonrpc":"2.0","id":0,"method":"public/set_heartbeat","params":{{"interval":{HEARTBEAT}}}}}'
_TEST = '{"jsonrpc":"2.0","id":9999,"method":"public/test","params":{}}'
_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_PROVE = Place(None, "ping", Reply(_TEST))  # unanswered, the venue cuts the connection

_USUAL = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
_NOTICE = re.compile(rb'"method"\s*:\s*"(subscription|heartbeat)"')
_CHANNEL = re.compile(rb'"channel"\s*:\s*"([^"\x00-\x20]{1,120})"')
_TEST_REQUEST = re.compile(rb'"type"\s*:\s*"test_request"')
_ANSWER = re.compile(rb'"(?:result|error)"\s*:')
_INSTRUMENT = re.compile(rb'"instrument_name"\s*:\s*"([^"\x00-\x20]{1,96})"')
_STATES = b"instrument.state."

# A stream is a channel without its instrument, which stands behind these words.
_OF_INSTRUMENT = ("book", "ticker", "incremental_ticker", "quote", "trades", "perpetual", "chart.trades")
_STREAM = re.compile(
    rf"(?:{'|'.join(re.escape(word) for word in _OF_INSTRUMENT)})(?:\.[A-Za-z0-9_]{{1,12}}){{0,3}}"
    r"|platform_state|instrument\.state\.[a-z_]{1,16}\.[A-Za-z]{1,8}",
    re.ASCII,
)
_CHAINED = re.compile(r"book\.(raw|100ms|agg2)", re.ASCII)  # book.none.10.100ms ... are partial books without a chain
_NUMBERED = re.compile(r"trades\.(raw|100ms|agg2)", re.ASCII)


class TickerRule(TimeRule):
    """A ticker says several things under one time: its quote stands for all."""

    def judge(self, message: Message) -> Verdict:
        return super().judge(message) if isinstance(message, Quote) else Verdict.UNVERIFIABLE


class Deribit(Adapter):
    """Deribit's public channels. Immutable."""

    name = "deribit"
    title = "Deribit"
    ws_url = "wss://www.deribit.com"
    rest_url = "https://www.deribit.com"
    default_symbols: tuple[str, ...] = ("BTC_USD_PERP", "ETH_USD_PERP", "SOL_USDC_PERP", "XRP_USDC_PERP")
    default_streams: tuple[str, ...] = ("book.100ms", "trades.100ms", "quote")
    trade_streams: tuple[str, ...] = ("trades.100ms", "trades.raw", "trades.agg2")

    def __init__(self) -> None:
        self._symbols = DeribitSymbols(self.name)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no channel can be called, or for more connections than an
        address may have. Channels of no instrument go with the first one's."""
        for stream in streams:
            if not _STREAM.fullmatch(stream):
                raise UsageError(f"{self.name}: {stream!r} is no channel; expected the form of 'book.100ms' or 'quote'")
        of_all = [stream for stream in dict.fromkeys(streams) if _word(stream) is None]
        of_each = [stream for stream in dict.fromkeys(streams) if _word(stream) is not None]
        wanted: list[tuple[str, list[str]]] = []
        for symbol in self._feeds(symbols):
            channels = [self._channel(stream, symbol) for stream in of_each] + ([] if wanted else of_all)
            wanted.append((symbol, [f'"{channel}"' for channel in channels]))
        made = connections(
            wanted, lambda args, number: _frame("subscribe", args, number), LIMITS, path="/ws/api/v2",
            first=(_SET_HEARTBEAT,),
        )  # fmt: skip
        if len(made) > CONNECTIONS:
            raise UsageError(
                f"{self.name}: {len(made)} connections, and the venue takes {CONNECTIONS} of an address; name fewer "
                f"symbols or streams"
            )
        return made

    def _channel(self, stream: str, symbol: str) -> str:
        word = _word(stream)
        assert word is not None
        return f"{word}.{self.native(symbol)}{stream[len(word) :]}"

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("method") != "public/subscribe":
            return None
        channels = listed(inner(told.get("params")).get("channels"))
        places = [(self._of_channel(channel), channel) for channel in channels]
        return Request(
            tuple(Wanted(place.symbol, place.stream, channel) for place, channel in places), number_of(told.get("id"))
        )

    def answer(self, payload: bytes) -> Answer | None:
        """An acknowledgement lists the channels of the request that there are, and says nothing of the others."""
        told = said(payload)
        number = number_of(told.get("id"))
        if number is None:
            return None
        if error := inner(told.get("error")):
            return Refused(str(error.get("message", error.get("code", ""))), number=number)
        channels = told.get("result")
        return Acknowledged(tuple(listed(channels)), number, NOT_LISTED) if isinstance(channels, list) else None

    def route(self, payload: bytes) -> Hashable | None:
        """The channel (bytes), with the instrument beside it where the channel is of many; True of an answer, False of
        a heartbeat, () of one that wants an answer."""
        if payload.startswith(_USUAL):
            start = len(_USUAL)
            end = payload.find(b'"', start, start + MAX_CHANNEL)
            channel = payload[start:end] if end > start else None
        else:
            notice = _NOTICE.search(payload[:256]) or _NOTICE.search(payload[-256:])
            if notice is None:
                return True if _ANSWER.search(payload[:512]) or _ANSWER.search(payload[-256:]) else None
            if notice[1] == b"heartbeat":
                return () if _TEST_REQUEST.search(payload[:512]) else False
            named = _CHANNEL.search(payload[:512]) or _CHANNEL.search(payload[-256:])
            channel = named[1] if named else None
        if channel is not None and channel.startswith(_STATES):
            instrument = _INSTRUMENT.search(payload)
            return (channel, instrument[1]) if instrument else channel
        return channel

    _marks = ((True, _SESSION), (False, _PING), ((), _PROVE))

    def _placed(self, key: Hashable) -> Place:
        try:
            if isinstance(key, tuple):
                channel, native = (wire_text(part) for part in key)
                return Place(self.named(native), channel)
            if not isinstance(key, bytes) or not key:
                return _OTHER
            return self._of_channel(wire_text(key))
        except (UnicodeDecodeError, UnknownSymbol, AttributeError, ValueError):
            return _OTHER

    def _of_channel(self, channel: str) -> Place:
        word = _word(channel)
        if word is None:
            return Place(None, channel) if _CHANNEL_NAME.fullmatch(channel) else _OTHER
        native, dot, rest = channel[len(word) + 1 :].partition(".")
        if native in KINDS:  # of a kind and a currency: trades.future.BTC.100ms
            return Place(None, channel) if _CHANNEL_NAME.fullmatch(channel) else _OTHER
        stream = word + dot + rest
        return Place(self.named(native), stream) if _STREAM.fullmatch(stream) else _OTHER

    def decoder(self, stream: str) -> Decoder:
        if self.is_book(stream):
            return strict(stream, DECODERS["book"], SPARE)
        word = "instrument.state" if stream.startswith("instrument.state.") else stream.partition(".")[0]
        decode = DECODERS.get(word) if word != "book" else None
        return other(stream) if decode is None else strict(stream, decode, SPARE)

    def rule(self, stream: str) -> Rule | None:
        if self.is_book(stream):
            return ContiguousRule(BookSteps(drops_equal=True, overlap=False))
        if _NUMBERED.fullmatch(stream):
            return IdRule()
        return TickerRule() if stream.partition(".")[0] in ("ticker", "quote") else None

    def is_book(self, stream: str) -> bool:
        return _CHAINED.fullmatch(stream) is not None

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        args = [f'"{self._channel(stream, symbol)}"']
        return _frame("unsubscribe", args, UNSUBSCRIBING), _frame("subscribe", args, 0)


_CHANNEL_NAME = re.compile(r"[a-z_]{1,40}(\.[A-Za-z0-9_-]{1,40}){0,4}", re.ASCII)


def _word(channel: str) -> str | None:
    """The word an instrument's name stands behind in a channel; None of a channel that has none."""
    for word in _OF_INSTRUMENT:
        if channel == word or channel.startswith(word + "."):
            return word
    return None


def _frame(method: str, channels: Sequence[str], number: int) -> str:
    params = f'{{"channels":[{",".join(channels)}]}}'
    return f'{{"jsonrpc":"2.0","id":{number},"method":"public/{method}","params":{params}}}'
