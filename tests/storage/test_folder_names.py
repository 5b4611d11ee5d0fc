"""The folder a symbol has: its own name where that is plain, reversible where it is not, and never another place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.errors import UsageError
from mdtool.model import Kind
from mdtool.storage.doctor.rebuild import rebuild
from mdtool.storage.doctor.verify import verify
from mdtool.storage.format import layout
from mdtool.storage.parts.archive import place_of
from mdtool.storage.store import Store

CHINESE = "币安人生_USDT"


@pytest.mark.parametrize(
    ("symbol", "folder"),
    [
        ("ETH_USDT", "ETH_USDT"), ("_session", "_session"), ("ETH2.S_ETH", "ETH2.S_ETH"), ("a:b+c-d", "a:b+c-d"),
        ("=FOO_BAR", "%3DFOO_BAR"), ("@107", "%40107"), ("币_U", "%E5%B8%81_U"), ("🚀_U", "%F0%9F%9A%80_U"),
        ("n\u0303", "n%CC%83"), ("ñ", "%C3%B1"),
        ("币" * 21, "%E5%B8%81" * 21),
    ],
)  # fmt: skip
def test_names(symbol, folder):
    assert layout.is_symbol(symbol)
    assert layout.folder_name(symbol) == folder
    assert layout.symbol_of_folder(folder) == symbol
    assert len(folder) <= 3 * layout.MAX_SYMBOL
    layout.check_name("binance", symbol)


@pytest.mark.parametrize(
    "symbol",
    ["", ".", "..", ".x", "-x", "+x", ":x", "a/b", "a\\b", "a b", "a\tb", "a\x00b", "%41", "a%b", "a*", "a?", "[a]",
     "a\u2028b", "a\u202eb", "\ud800", "A" * 64, "币" * 22, "a\u00a0b", "\u200b"],
)  # fmt: skip
def test_what_no_feed_is_called(symbol):
    assert not layout.is_symbol(symbol)
    with pytest.raises(UsageError, match="expected letters, digits") as caught:
        layout.check_name("binance", symbol)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "folder", ["", "..", "%2E%2E", "%2e", "a%2Fb", "%41", "%e5%b8%81", "%E5%B8", "币", "A%", "%00", "A%2", "%2541"]
)
def test_folders_that_are_no_feeds(folder):
    assert layout.symbol_of_folder(folder) is None


@given(st.text(max_size=30))
def test_a_folder_is_one_symbols_and_a_plain_child(symbol):
    if not layout.is_symbol(symbol):
        return
    folder = layout.folder_name(symbol)
    assert layout.symbol_of_folder(folder) == symbol
    assert folder.isascii() and "/" not in folder and not folder.startswith(".") and len(folder) <= 189
    assert Path("/store") / folder == Path(f"/store/{folder}").resolve()


@given(st.text(max_size=30))
def test_no_two_folders_are_one_symbols(folder):
    symbol = layout.symbol_of_folder(folder)
    assert symbol is None or layout.folder_name(symbol) == folder


def test_a_store_with_symbols_in_any_script(tmp_path):
    """Written, listed, verified, rebuilt from what is there, and removed."""
    path = tmp_path / "store"
    names = [f"binance/{CHINESE}", "binance/=FOO_BAR", "binance/ETH_USDT"]
    with Store.create(path) as store:
        for number, name in enumerate(names):
            with store.writer(name, sync="none") as writer:
                stream = writer.stream("trade")
                writer.append(10**18 + number, int(Kind.DATA), stream, store.next_session(), name.encode(), 0)
                writer.end(10**18 + 9, "done")
    folders = {folder.name for folder in (path / "feeds" / "binance").iterdir()}
    assert folders == {"%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9F_USDT", "%3DFOO_BAR", "ETH_USDT"}
    assert verify(path).findings == []
    (path / "registry.bin").unlink()
    rebuild(path)
    with Store.open(path) as store:
        assert sorted(feed.name for feed in store.feeds()) == sorted(names)
        for name in names:
            with store.reader(name) as reader:
                assert next(iter(reader.records())).payload == name.encode()
    with Store.create(path) as store:
        gone = store.remove(f"binance/{CHINESE}")
        assert gone.name.startswith("binance-%E5%B8%81")
        assert sorted(feed.name for feed in store.feeds()) == sorted(names[1:])


def test_an_archive_has_the_same_folder(tmp_path):
    with Store.create(tmp_path / "store") as store:
        with store.writer(f"binance/{CHINESE}", sync="none") as writer:
            writer.end(10**18, "done")
        feed = replace(store.feed(f"binance/{CHINESE}"), archive=str(tmp_path / "archive"))
        folder = f"recorder={feed.store_id}/venue=binance/symbol={layout.folder_name(CHINESE)}"
        assert place_of(feed).where("x.parquet") == str(tmp_path / "archive" / folder / "x.parquet")
