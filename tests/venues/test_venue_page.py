"""mdtool-venue(7): the venue of its example is added as the page says, and held to what every venue is held to."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from conformance import table
from conformance.disturbing import hidden, judged, unread
from conformance.faults import FAULTS
from conformance.running import differences
from hypothesis import given
from hypothesis import strategies as st

import mdtool.exchange
import mdtool.venues
from mdtool.books.ladders import LevelParser
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.exchange import samples
from mdtool.exchange.protocol import Refusal
from mdtool.exchange.source import Instrument
from mdtool.model import BookUpdate, Scale
from mdtool.venues import catalog
from mdtool.venues.subscribing import Conversation, State
from mdtool.venues.venue import Place

TOP = Path(__file__).parents[2]
PAGE = (TOP / "man" / "mdtool-venue.7").read_text(encoding="utf-8")
BLOCK = re.compile(r"^\.SS (\S+)\n\.nf\n(.*?)^\.fi\n", re.MULTILINE | re.DOTALL)


def plain(roff: str) -> str:
    text = roff.replace("\\&", "").replace("\\(aq", "'").replace("\\-", "-")
    return text.replace("\\e", "\\")


BLOCKS = {plain(name): plain(text) for name, text in BLOCK.findall(PAGE)}
FILES = (
    "mdtool/venues/example/__init__.py",
    "mdtool/venues/example/wire.py",
    "mdtool/venues/example/adapter.py",
    "mdtool/exchange/example.py",
    "tests/venues/conformance/example.toml",
)
LINES = ("mdtool/venues/catalog.py", "mdtool/exchange/catalog.py", "mdtool/exchange/samples.py", "man/mdtool-venue.7")


def lines_of(name: str) -> str:
    """What a table of that file would be with the page's line in it alone."""
    return BLOCKS[name].replace("_ALL: tuple[Venue, ...]", "_ALL")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The page's files, found beside mdtool's own."""
    tree = tmp_path_factory.mktemp("tree")
    for name in FILES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(BLOCKS[name], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for package in (mdtool.venues, mdtool.exchange):
            folder = str(tree / package.__name__.replace(".", "/"))
            patch.setattr(package, "__path__", [*package.__path__, folder])
        importlib.invalidate_caches()
        yield tree


@pytest.fixture(scope="module")
def venue(tree):
    """What the line in the catalog puts there."""
    made: dict = {}
    exec(lines_of("mdtool/venues/catalog.py"), made)
    (venue,) = made["_ALL"]
    return venue


@pytest.fixture(scope="module")
def protocol(tree, venue):
    made: dict = {}
    exec(lines_of("mdtool/exchange/catalog.py"), made)
    return made["PROTOCOLS"][venue.name]()


def test_the_page_has_every_part_it_speaks_of():
    assert set(BLOCKS) == {*FILES, *LINES}
    for name in ("mdtool/venues/catalog.py", "mdtool/exchange/catalog.py", "mdtool/exchange/samples.py"):
        assert (TOP / name).exists()
    tools = re.findall(r"^pytest ([^ ]+(?: tests/\S+)*)", plain(PAGE), re.MULTILINE)
    assert len(tools) == 4
    for path in " ".join(tools).split():
        assert (TOP / path).exists(), path
    for word in table.KINDS:
        assert f'"{word}"' in PAGE


def test_it_passes_its_row(tree, venue):
    row = table.row("example", tree / "tests/venues/conformance")
    assert differences(venue, row) == []
    for session in row.sessions:
        for what in table.KINDS:
            for stream in judged(session, venue):
                assert bool(hidden(session, venue, stream, what)) == ((stream, what) in session.unseen)
        assert unread(session, venue) == set(session.unread)
    for fault, forms in FAULTS.items():
        for make in forms:
            assert bool(differences(make(venue), row)) == (fault not in row.without), fault


def test_it_is_a_venue_as_the_catalog_wants_them(venue):
    for symbol in venue.default_symbols:
        assert venue.canonical(symbol) == venue.canonical(venue.native(symbol)) == symbol
    plan = venue.plan(venue.default_symbols * 2, venue.default_streams)
    assert {symbol for connection in plan for symbol in connection.symbols} == set(venue.default_symbols)
    with pytest.raises(UsageError):
        venue.plan(venue.default_symbols, ("no such stream!",))
    with pytest.raises(UnknownSymbol):
        venue.plan(("no such symbol!",), venue.default_streams)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(lambda text: b'{"topic":"book.' + text)))
def test_it_never_raises_where_the_page_says_so(venue, payload):
    key = venue.route(payload)
    hash(key)
    assert key is None or isinstance(venue.place(key), Place)
    for stream in ("book", "trade", "other"):
        try:
            venue.decoder(stream)(payload)
        except WireError:
            pass


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.binary(), st.tuples(st.binary(), st.binary()), st.tuples(st.text())
    )
)
def test_any_key_has_a_place(venue, key):
    assert isinstance(venue.place(key), Place)


def test_its_sample_says_what_every_sample_says(venue, monkeypatch):
    made = dict(vars(samples))
    exec(BLOCKS["mdtool/exchange/samples.py"], made)
    monkeypatch.setitem(samples.SAMPLES, "example", made["SAMPLES"]["example"])
    decode, rule = venue.decoder("book"), venue.rule("book")
    for own, plain_one in zip(samples.updates("example", 5), samples.updates("sim", 5), strict=True):
        (update,), (truth,) = decode(own), catalog.get("sim").decoder("depth@100ms")(plain_one)
        assert isinstance(update, BookUpdate) and update.venue_ns == truth.venue_ns
        parser = LevelParser(Scale(-2, -3))
        assert parser.parse_update(update) == parser.parse_update(truth)
        assert rule.judge(update).name == "APPLY"


class Serves:
    instruments = (Instrument("ETH_USDT", "ETH/USDT", Scale(-2, -2)),)

    def streams(self, symbol):
        return ("book", "trade")


def test_the_emulator_takes_the_adapters_own_frames(venue, protocol):
    protocol.attach(Serves(), "ws://127.0.0.1:1")
    (connection,) = venue.plan(["ETH_USDT"], venue.default_streams)
    session = protocol.open(connection.path, {})
    (frame,) = connection.send
    reaction = session.on_text(frame, 1)
    wanted = [protocol.stream_name(Serves.instruments[0], stream) for stream in venue.default_streams]
    assert reaction.subscribed == wanted
    for answer in (*reaction.replies, *session.on_text(connection.heartbeat.frame, 1).replies):
        assert venue.place(venue.route(answer)) == Place(None, "session")
    unsubscribe, again = venue.resubscribe("ETH_USDT", "book")
    assert session.on_text(unsubscribe, 1).unsubscribed == session.on_text(again, 1).subscribed == ["book.ETH/USDT"]
    no = session.on_text('{"op":"subscribe","args":["book.NO/SUCH","candle.ETH/USDT",7]}', 1)
    assert no.subscribed == [] and len(no.replies) == 3
    assert no.refused == [Refusal("book.NO/SUCH", None), Refusal("candle.ETH/USDT", Serves.instruments[0])]
    assert session.on_text("[", 1).replies
    talk = Conversation(venue)
    for symbols, served in ((["ETH_USDT", "NO_SUCH"], 2), (["NO_SUCH"], 0)):
        (frame,) = venue.plan(symbols, venue.default_streams)[0].send
        talk.sent(frame, 1.0)
        found = [one for answer in session.on_text(frame, 1).replies for one in talk.heard(answer).outcomes]
        assert [one.state for one in found] == [State.ACKNOWLEDGED] * served + [State.REFUSED] * 2
        assert [one.wanted[:2] for one in found[served:]] == [("NO_SUCH", stream) for stream in venue.default_streams]
    talk.sent(frame, 1.0)
    (no,) = session.on_text("[", 1).replies
    heard = talk.heard(no)
    assert heard.outcomes == () and len(heard.again) == 2  # it named two, and one of them may be there


def test_its_line_of_the_page_says_what_the_table_of_venues_would(venue):
    name, stream, proof, whole = re.split(r"\s{2,}", BLOCKS["man/mdtool-venue.7"].strip())
    assert (name, stream) == (venue.name, venue.default_streams[0])
    assert proof == "sequence" and venue.rule(stream).complete and venue.traits(stream).checksum is None
    assert whole == "on the stream" and venue.snapshot_request("ETH_USDT") is None
