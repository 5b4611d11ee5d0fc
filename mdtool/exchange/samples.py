"""Depth updates in each venue's own form, made up: what decoding is measured with, and what every adapter must read.

Rule: a sample says the same of every venue: these levels, this id, this time. Adding a venue is a row here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

SEED = 20240808
START_MS = 1_723_129_447_000  # 2024-08-08
_PAIR = '["{p}","{s}"]'


@dataclass(frozen=True, slots=True)
class Sample:
    """How a venue writes a depth update. `bid` and `ask` are one level with {p} and {s}; `text` has {bids}, {asks},
    {first}, {last}, {prev} ids, {ms}, {us} and {iso} times."""

    stream: str
    text: str
    bid: str = _PAIR
    ask: str = _PAIR


_BINANCE = '"s":"ETHUSDT","U":{first},"u":{last}'
_BYBIT = Sample(
    "orderbook.50",
    '{{"topic":"orderbook.50.ETHUSDT","type":"delta","ts":{ms},"data":{{"s":"ETHUSDT","b":[{bids}],"a":[{asks}],"u":{last},'
    '"seq":{last}}},"cts":{ms}}}',
)
_FUTURES = Sample(
    "depth@0ms",
    '{{"e":"depthUpdate","E":{ms},"T":{ms},' + _BINANCE + ',"pu":{prev},"b":[{bids}],"a":[{asks}]}}',
)
_SPOT = Sample("depth@100ms", '{{"e":"depthUpdate","E":{ms},' + _BINANCE + ',"b":[{bids}],"a":[{asks}]}}')
SAMPLES: dict[str, Sample] = {
    "binance": _SPOT,
    "binance-coinm": _FUTURES,
    "binance-usdm": _FUTURES,
    "bitfinex": Sample("book-P0", "[225206,[{bids},{asks}],{last}]", "[{p},1,{s}]", "[{p},1,-{s}]"),
    "bitget": Sample(
        "books",
        '{{"action":"update","arg":{{"instType":"SPOT","channel":"books","instId":"ETHUSDT"}},"data":[{{"asks":[{asks}],'
        '"bids":[{bids}],"ts":"{ms}","seq":{last},"pseq":{prev}}}],"ts":{ms}}}',
    ),
    "bitstamp": Sample(
        "diff_order_book",
        '{{"data":{{"timestamp":"{ms}","microtimestamp":"{us}","bids":[{bids}],"asks":[{asks}]}},'
        '"channel":"diff_order_book_ethusdt","event":"data"}}',
    ),
    "bybit": _BYBIT,
    "bybit-inverse": _BYBIT,
    "bybit-linear": _BYBIT,
    "coinbase": Sample(
        "level2_batch",
        '{{"type":"l2update","product_id":"ETH-USDT","changes":[{bids},{asks}],"time":"{iso}"}}',
        '["buy","{p}","{s}"]',
        '["sell","{p}","{s}"]',
    ),
    "coinbase-advanced": Sample(
        "level2",
        '{{"channel":"l2_data","timestamp":"{iso}","sequence_num":{last},"events":[{{"type":"update",'
        '"product_id":"ETH-USDT","updates":[{bids},{asks}]}}]}}',
        '{{"side":"bid","event_time":"2024-08-08T15:04:07.000000Z","price_level":"{p}","new_quantity":"{s}"}}',
        '{{"side":"offer","event_time":"2024-08-08T15:04:07.000000Z","price_level":"{p}","new_quantity":"{s}"}}',
    ),
    "deribit": Sample(
        "book.100ms",
        '{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"book.ETH-PERPETUAL.100ms","data":{{"type":"change",'
        '"timestamp":{ms},"prev_change_id":{prev},"instrument_name":"ETH-PERPETUAL","change_id":{last},"bids":[{bids}],'
        '"asks":[{asks}]}}}}}}',
        '["change",{p},{s}]',
        '["change",{p},{s}]',
    ),
    "gate": Sample(
        "order_book_update",
        '{{"time":{ms},"channel":"spot.order_book_update","event":"update","result":{{"t":{ms},"e":"depthUpdate","E":{ms},'
        '"s":"ETH_USDT","U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}}}',
    ),
    "gate-futures": Sample(
        "order_book_update",
        '{{"time":{ms},"channel":"futures.order_book_update","event":"update","result":{{"t":{ms},"s":"ETH_USDT",'
        '"U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}}}',
        '{{"p":"{p}","s":{s}}}',
        '{{"p":"{p}","s":{s}}}',
    ),
    "hyperliquid": Sample(
        "l2Book",
        '{{"channel":"l2Book","data":{{"coin":"ETH","time":{ms},"levels":[[{bids}],[{asks}]]}}}}',
        '{{"px":"{p}","sz":"{s}","n":1}}',
        '{{"px":"{p}","sz":"{s}","n":1}}',
    ),
    "kraken": Sample(
        "book-1000",
        '{{"channel":"book","type":"update","data":[{{"symbol":"ETH/USDT","bids":[{bids}],"asks":[{asks}],"checksum":{ms32},'
        '"timestamp":"{iso}"}}]}}',
        '{{"price":{p},"qty":{s}}}',
        '{{"price":{p},"qty":{s}}}',
    ),
    "kucoin": Sample(
        "level2",
        '{{"data":{{"sequenceStart":{first},"symbol":"ETH-USDT","changes":{{"asks":[{asks}],"bids":[{bids}]}},'
        '"sequenceEnd":{last}}},"subject":"trade.l2update","topic":"/market/level2:ETH-USDT","type":"message"}}',
        '["{p}","{s}","{last}"]',
        '["{p}","{s}","{last}"]',
    ),
    "okx": Sample(
        "books",
        '{{"arg":{{"channel":"books","instId":"ETH-USDT"}},"action":"update","data":[{{"asks":[{asks}],"bids":[{bids}],'
        '"ts":"{ms}","checksum":0,"prevSeqId":{prev},"seqId":{last}}}]}}',
        '["{p}","{s}","0","1"]',
        '["{p}","{s}","0","1"]',
    ),
    "sim": _SPOT,
}


def updates(venue: str, count: int, levels: int = 10, seed: int = SEED) -> Iterator[bytes]:
    """`count` contiguous depth updates of `levels` bids and as many asks: prices near 2,681.62 with two decimals, sizes
    with three. The same ones for every venue, each in its own words."""
    sample = SAMPLES[venue]
    chance = random.Random(seed)
    middle, last = 268_162, 4_990_000_000
    for number in range(count):
        middle += chance.randint(-3, 3)
        prev, last = last, last + 1
        ms = START_MS + number * 30
        bids, asks = (
            ",".join(form.format(p=p, s=s, last=last) for p, s in _ladder(chance, middle + step, step, levels))
            for form, step in ((sample.bid, -1), (sample.ask, 1))
        )
        yield sample.text.format(
            bids=bids,
            asks=asks,
            first=last,
            last=last,
            prev=prev,
            ms=ms,
            us=ms * 1000,
            ms32=ms % 2**32,
            iso=f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}000Z",
        ).encode()


def _ladder(chance: random.Random, best: int, step: int, levels: int) -> Iterator[tuple[str, str]]:
    price = best
    for _ in range(levels):
        size = chance.randint(1, 250_000)
        yield f"{price // 100}.{price % 100:02d}", f"{size // 1000}.{size % 1000:03d}"
        price += step * chance.randint(1, 20)
