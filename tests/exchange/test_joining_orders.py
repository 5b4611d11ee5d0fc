"""Coinbase's full channel as a recorder of today meets it: updates first, the book by order over REST while they come.
The book must end in the known one."""

from __future__ import annotations

import asyncio
import gzip
import json
from decimal import Decimal

import pytest
from patience import until
from recording import Attended, record_all

from mdtool.audit import audit_feed
from mdtool.books.sync import BookState, open_book
from mdtool.capture.recorder import Recorder, RecorderEvent, record_options
from mdtool.clock import SECOND, ManualClock
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server
from mdtool.interop.importer import import_files
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

NAME = "coinbase/BTC_USD"
COINBASE = catalog.get("coinbase")
URL = "https://api.exchange.coinbase.com/products/BTC-USD/book?level=3"
BEGAN = 1457741330.0


def files(folder, capture):
    """The capture's whole book as the REST answer it once was, and its messages, 1 ms apart; the answer comes third."""
    rows = {"buy": [], "sell": []}
    lines, sequence = [], 0
    for line in gzip.decompress(capture.read_bytes()).splitlines():
        payload = line[24:].decode()
        message = json.loads(payload)
        if message["time"]:
            lines.append(f"{BEGAN + len(lines) / 1000:.3f}: {payload}\n")
        else:
            sequence = message["sequence"]
            rows[message["side"]].append([message["price"], message["remaining_size"], message["order_id"]])
    body = json.dumps({"sequence": sequence, "bids": rows["buy"], "asks": rows["sell"]})
    paths = folder / "full.ws.cf", folder / "full.http.cf"
    paths[0].write_text("".join(lines))
    paths[1].write_text(f"{URL} -> {BEGAN + 0.0025:.4f}: {body}\n")
    return paths


@pytest.mark.realdata
def test_the_book_is_fetched_and_continued(tmp_path, realdata):
    with Store.create(tmp_path / "original") as original, Store.create(tmp_path / "copy") as copy:
        import_files(original, COINBASE, files(tmp_path, realdata / "coinbase/2016-03-12_full_l3.pat.gz"))

        async def main():
            clock, told = ManualClock(), []
            source = Attended(original, [NAME], clock=clock)

            async def time():
                """Half of the recording, the book fetched meanwhile, and the rest."""
                await until(lambda: source._pacer._start_ns is not None)
                clock.advance(SECOND)
                await until(lambda: RecorderEvent.SNAPSHOT in told)
                clock.advance(3600 * SECOND)

            passing = asyncio.create_task(time())
            async with Server(source, protocol_for("coinbase")) as server:
                options = record_options(
                    COINBASE, ("BTC_USD",), streams=("full",), ws_url=server.url, rest_url=server.rest, sync="none"
                )
                recorder = Recorder(copy, options, lambda event, text: told.append(event))
                return await record_all(recorder, server, passing.done)

        status = asyncio.run(main())
        assert (status.gaps, status.snapshots) == (0, 1)
        for store in (original, copy):
            sync = open_book(COINBASE, "full")
            with store.reader(NAME) as reader:
                report = audit_feed(reader, COINBASE)
                assert report.clean and report.notes == ()
                reader.to_start()
                for record in reader.records():
                    if record.kind in (Kind.DATA, Kind.RESPONSE):
                        for message in COINBASE.decoder(reader.stream_name(record.stream))(record.payload):
                            sync.on_message(message, record.recv_ns)
            assert_the_known_book(sync, realdata / "coinbase/2016-03-12_full_l3.expected_book.json")


def assert_the_known_book(sync, path):
    kept = json.loads(path.read_text(), parse_float=Decimal, parse_int=Decimal)
    assert (sync.state, sync.last_seq, len(sync.book)) == (BookState.SYNCED, kept["sequence"], 7_112)
    price_exp, size_exp = sync.book.scale
    for half, found in zip(("bids", "asks"), sync.book.top(50), strict=True):
        assert [[Decimal(price).scaleb(price_exp), Decimal(size).scaleb(size_exp)] for price, size in found] == kept[
            half
        ]
