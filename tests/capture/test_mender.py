"""Whole books that come on the stream: subscribed to anew, or had by one new connection for all that it carries."""

from __future__ import annotations

import asyncio

import pytest
from patience import until

from mdtool.capture import mender as module
from mdtool.capture.mender import Mender
from mdtool.venues import catalog


class Line:
    """A link."""

    def __init__(self, *symbols):
        self.symbols = symbols
        self.renewals, self.said = 0, []

    def renew(self, why):
        self.renewals += 1
        self.then()

    def then(self): ...

    async def say(self, frames):
        self.said.append(frames)


class NoSnapshots:
    def had(self, symbol): ...


def mending(venue, links, play):
    """`play(mender)` while it is at work."""
    streams = catalog.get(venue).default_streams

    async def main():
        said = []
        mender = Mender(
            catalog.get(venue), streams, lambda: links, NoSnapshots(), lambda event, text: said.append(text), None
        )
        running = asyncio.create_task(mender.run())
        try:
            await play(mender, running)
        finally:
            running.cancel()
            await asyncio.wait([running])
        return said

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.02)


def test_a_new_connection_brings_the_books_of_all_that_it_carries():
    first, second = Line("BTC_USD", "ETH_USD", "SOL_USD"), Line("XRP_USD")

    async def play(mender, running):
        first.then = lambda: mender.had("ETH_USD")  # brought before its turn came
        for symbol in ("BTC_USD", "ETH_USD", "SOL_USD", "XRP_USD"):
            mender.request(symbol)
        await until(
            lambda: first.renewals == 2 and second.renewals, running
        )  # the other is of the one that did not come

    said = mending("bitfinex", [first, second], play)
    assert (first.renewals, second.renewals) == (2, 1)
    assert said == [f"{symbol}: connecting anew for a whole book" for symbol in ("BTC_USD", "XRP_USD", "SOL_USD")]


def test_a_book_that_can_be_subscribed_to_anew_costs_the_others_nothing():
    line = Line("BTC_USD", "ETH_USD")

    async def play(mender, running):
        mender.request("BTC_USD")
        mender.request("ETH_USD")
        await until(lambda: len(line.said) == 2, running)

    mending("kraken", [line], play)
    assert line.renewals == 0
    assert ["BTC" in str(line.said[0]), "ETH" in str(line.said[1])] == [True, True]
