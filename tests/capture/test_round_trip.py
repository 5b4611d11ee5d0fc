"""Real messages served as their venue and recorded again: nothing is lost, changed or reordered on the way."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from recording import Attended, record_all

from mdtool.audit import audit_feed
from mdtool.capture.recorder import Recorder, record_options
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.server import Server, ServerOptions
from mdtool.interop.importer import import_files
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog


def streams(store, name):
    """Payloads received, by stream and all together, in order."""
    by_stream, whole = defaultdict(list), []
    reader = store.reader(name)
    for record in reader.records():
        if record.kind == Kind.DATA:
            by_stream[reader.stream_name(record.stream)].append(record.payload)
            whole.append(record.payload)
    return by_stream, whole


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("venue_name", "file", "speed"),
    [
        ("binance-usdm", "binance_usdm/ethusdt_20240808.hb.gz", 100.0),
        ("binance-usdm", "binance_usdm/btcusdt_20240808_head3000.hb.gz", 50.0),
        ("binance", "binance/ethusdt_20240808_head3000.hb.gz", 100.0),
    ],
)
def test_what_is_served_after_the_subscription_is_recorded_byte_for_byte(tmp_path, realdata, venue_name, file, speed):
    venue = catalog.get(venue_name)
    symbol = "BTC_USDT" if "btc" in file else "ETH_USDT"
    name = f"{venue_name}/{symbol}"
    with Store.create(tmp_path / "original") as original, Store.create(tmp_path / "copy") as copy:
        import_files(original, venue, [realdata / file])

        async def main():
            source = Attended(original, [name], speed=speed)
            async with Server(source, protocol_for(venue_name), ServerOptions(keep_log=True)) as server:
                options = record_options(venue, (symbol,), ws_url=server.url, rest_url=server.rest, sync="none")
                recorder = Recorder(copy, options, lambda event, text: None)
                status = await record_all(recorder, server)
                return status, [sent.frame for sent in server.log]

        status, served = asyncio.run(main())
        source_streams, source_whole = streams(original, name)
        copied_streams, copied = streams(copy, name)
        assert copied == served
        assert copied == source_whole  # playback waits for the subscription, so it is all there
        assert copied_streams == source_streams
        assert status.gaps == 0
        reader = copy.reader(name)
        report = audit_feed(reader, venue)
        assert [str(finding) for finding in report.findings] == []
        assert report.clean
