"""serve: what a person sees of it. The protocols themselves are tested in tests/exchange."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import aiohttp
import pytest
from patience import LONGEST

from mdtool.model import Kind
from mdtool.storage.store import Store


@pytest.mark.parametrize("asks", [1, 3])
def test_serve_prints_a_line_a_name_and_what_is_there_instead(
    alpha: Path, start: Callable[..., Popen[str]], asks: int
) -> None:
    running = start("--store", alpha, "serve", "--port", "0")
    assert running.stderr is not None
    first, _ = running.stderr.readline(), running.stderr.readline()
    url = re.search(r"ws://\S+(?=;)", first)
    assert url is not None

    async def ask() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url[0]}/ws") as client:
            for number in range(asks):
                names = ["alphausdt@depth20", "nosuch@\x1b[2Jtrade"]
                await client.send_json({"method": "SUBSCRIBE", "params": names, "id": number})
                assert (await client.receive_json())["error"]["msg"] == "Invalid request: invalid stream"

    asyncio.run(ask())
    running.terminate()
    said = running.communicate(timeout=LONGEST)[1].splitlines()
    assert said == [
        "refused alphausdt@depth20: not recorded; there is alphausdt@bookTicker, alphausdt@depth@100ms, "
        "alphausdt@trade, alphausdt@aggTrade",
        "refused nosuch@?[2Jtrade: not recorded; there is ALPHAUSDT",
    ]


def test_the_command_it_names_records_what_is_there(tmp_path: Path, start: Callable[..., Popen[str]]) -> None:
    """A capture of Kraken's first API without trades: asked for by default, all of it would be refused."""
    with Store.create(tmp_path / "s") as store, store.writer("kraken/BTC_USD") as writer:
        stream = writer.stream("book-1000")
        writer.append(10**18, Kind.DATA, stream, 1, b'[336,{"as":[],"bs":[]},"book-1000","XBT/USD"]')
    running = start("--store", tmp_path / "s", "serve", "--port", "0")
    assert running.stderr is not None
    running.stderr.readline()
    command = running.stderr.readline()
    assert command.startswith("mdtool record kraken BTC_USD --streams v1:book-1000 --url ws://127.0.0.1:")
    running.terminate()
    running.communicate(timeout=LONGEST)
