"""A made-up session of Bitget, of either form of its book: audited, disturbed, and served and recorded again."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from zlib import crc32

import pytest
from recording import Attended, record_all

from mdtool.audit import audit_store
from mdtool.capture.recorder import Recorder, record_options
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server
from mdtool.model import SESSION_SYMBOL, Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

BITGET = catalog.get("bitget")
FEED = "bitget/BTC_USDT"
START = 1_790_000_000_000  # ms
CHANGES = 40
CHANGED = 20  # the change that is disturbed


def message(channel, action, data, ms):
    arg = {"instType": "SPOT", "channel": channel, "instId": "BTCUSDT"}
    return json.dumps({"action": action, "arg": arg, "data": [data], "ts": ms}, separators=(",", ":")).encode()


def signed_crc(bids, asks):
    """Of the best 25 a side in turn, each price:size."""
    parts = []
    for (bid, bid_size), (ask, ask_size) in zip(
        sorted(bids.items(), reverse=True)[:25], sorted(asks.items())[:25], strict=True
    ):
        parts += [bid, bid_size, ask, ask_size]
    value = crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


def session(form):
    """(stream, payload, receive time) of a whole book of 30 levels a side, and of changes, best prices and trades."""
    chained = form == "chained"
    bids = {f"1{n:03d}.50": f"{n + 1}.250" for n in range(30)}
    asks = {f"2{n:03d}.50": f"{n + 1}.000" for n in range(30)}
    whole = {"asks": sorted(asks.items()), "bids": sorted(bids.items(), reverse=True), "ts": str(START), "seq": 1000}
    first = message("books", "snapshot", whole | ({"pseq": 0} if chained else {"checksum": 0}), START)
    said = [("books", first, (START + 50) * 1_000_000)]
    seq = 1000
    for n in range(1, CHANGES + 1):
        ms, before, seq = START + 200 * n, seq, seq + 1 + n % 7
        price, size = f"1{29 - n % 3:03d}.50", f"{n}.125"
        bids[price] = size
        change = {"asks": [], "bids": [[price, size]], "ts": str(ms), "seq": seq}
        change |= {"pseq": before} if chained else {"checksum": signed_crc(bids, asks)}
        best = {"asks": [["2000.50", "1.000"]], "bids": [["1029.50", bids["1029.50"]]], "ts": str(ms), "seq": seq}
        trade = {"ts": str(ms), "price": "2000.50", "size": "0.5", "side": "buy", "tradeId": str((ms << 22) + n)}
        said += [
            ("books", message("books", "update", change, ms), (ms + 50) * 1_000_000),
            ("books1", message("books1", "snapshot", best | {"pseq": 0}, ms), (ms + 51) * 1_000_000),
            ("trade", message("trade", "update", trade, ms), (ms + 52) * 1_000_000),
        ]
    return said


def filled(store, said):
    with store.writer(FEED, sync="none", chunk_bytes=1 << 20) as writer:
        for stream, payload, recv_ns in said:
            place = BITGET.place(BITGET.route(payload))
            assert (place.symbol, place.stream) == ("BTC_USDT", stream)
            writer.append(recv_ns, int(Kind.DATA), writer.stream(stream), 1, payload, 0)
        writer.end(said[-1][2] + 1, "done")


def audited(tmp_path, said):
    with Store.create(tmp_path / "store") as store:
        filled(store, said)
        (report,) = audit_store(store, catalog.get, [FEED])
    return report, {stream.stream: stream for stream in report.streams}


def test_the_chain_is_whole(tmp_path):
    report, streams = audited(tmp_path, session("chained"))
    assert report.clean
    assert (streams["books"].verdicts, streams["books"].checksums) == (
        {"apply": CHANGES + 1},
        {"match": 0, "mismatch": 0},
    )
    assert streams["trade"].verdicts == {"apply": 0, "unverifiable": CHANGES}
    assert streams["books1"].verdicts == {"apply": CHANGES}
    states = {(interval.stream, interval.state.value) for interval in report.intervals}
    assert states == {("books", "whole"), ("trade", "unprovable"), ("books1", "unprovable")}


def test_every_checksum_matches(tmp_path):
    report, streams = audited(tmp_path, session("checked"))
    assert report.clean
    assert streams["books"].verdicts == {"apply": 1, "unverifiable": CHANGES}
    assert streams["books"].checksums == {"match": CHANGES, "mismatch": 0}


def removed(said, at):
    del said[at]


def doubled(said, at):
    said.insert(at, said[at])


def swapped(said, at):
    after = next(n for n in range(at + 1, len(said)) if said[n][0] == "books")
    said[at], said[after] = (said[after][:2] + said[at][2:]), (said[at][:2] + said[after][2:])


def replaced(old, new):
    def disturb(said, at):
        stream, payload, recv_ns = said[at]
        assert old in payload
        said[at] = stream, payload.replace(old, new, 1), recv_ns

    return disturb


altered = replaced(b'.125"]', b'.126"]')
broken = replaced(b'"ts"', b'"ts",')


@pytest.mark.parametrize(
    ("form", "disturb", "findings"),
    [
        ("chained", removed, {"gap": 1}),
        ("chained", doubled, {"duplicate": 1}),
        ("chained", swapped, {"out_of_order": 1}),
        ("chained", broken, {"gap": 1, "undecodable": 1}),
        ("checked", removed, {"checksum": 1}),
        ("checked", doubled, {"duplicate": 1}),
        ("checked", swapped, {"checksum": 1, "out_of_order": 1}),
        ("checked", altered, {"checksum": 1}),
        ("checked", broken, {"undecodable": 1}),
    ],
)
def test_one_disturbed_message_is_reported_as_what_it_is(tmp_path, form, disturb, findings):
    said = session(form)
    disturb(said, [n for n, (stream, *_) in enumerate(said) if stream == "books"][CHANGED])
    report, _ = audited(tmp_path, said)
    assert dict(report.finding_counts) == findings


def received(store):
    by_stream = defaultdict(list)
    with store.reader(FEED) as reader:
        for record in reader.records():
            if record.kind == Kind.DATA:
                by_stream[reader.stream_name(record.stream)].append(record.payload)
    return dict(by_stream)


@pytest.mark.parametrize("form", ["chained", "checked"])
def test_what_is_served_is_recorded_byte_for_byte(tmp_path, form):
    with Store.create(tmp_path / "original") as original, Store.create(tmp_path / "copy") as copy:
        filled(original, session(form))

        async def main():
            async with Server(Attended(original, [FEED], speed=None), protocol_for("bitget")) as server:
                options = record_options(
                    BITGET, ("BTC_USDT",), streams=(), ws_url=server.url, rest_url=server.rest, sync="none"
                )
                return await record_all(Recorder(copy, options, lambda event, text: None), server)

        asyncio.run(main())
        assert received(copy) == received(original)
        reports = audit_store(copy, catalog.get, [FEED, f"bitget/{SESSION_SYMBOL}"])
        assert [dict(report.finding_counts) for report in reports] == [{}, {}]


def test_pings_and_what_is_no_request():
    protocol = protocol_for("bitget")
    assert protocol.open("/v2/ws/private", {}).status == 404
    said = protocol.open("/v2/ws/public", {})
    assert said.on_text("ping", 0).replies == [b"pong"]
    for text in ("hello", '{"op":"ping"}', "[]"):
        (answer,) = said.on_text(text, 0).replies
        assert json.loads(answer) == {"event": "error", "code": 30002, "msg": f"Unrecognized request:{text}"}
        assert BITGET.place(BITGET.route(answer)).stream == "session"
