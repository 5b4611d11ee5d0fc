"""A session given to an adapter: what it is read as, what alarms it raises, and how both differ from the row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import zip_longest

from conformance.reading import in_words, plain
from conformance.table import Row, Said, Session
from mdtool.books.l3 import L3Book
from mdtool.books.sync import BookSync, open_book
from mdtool.errors import WireError
from mdtool.model import SNAPSHOT_STREAM, Side, Update
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import Place, Venue

QUIET = {Verdict.APPLY, Verdict.UNVERIFIABLE}


@dataclass
class Run:
    """What came of it."""

    found: list[Said] = field(default_factory=list)  # the same records as they were read
    final: tuple[str, ...] = ()
    alarms: Counter[str] = field(default_factory=Counter)  # what a person would be told


def run(venue: Venue, session: Session, payloads: Sequence[tuple[bytes, bool]]) -> Run:
    """`payloads`: each with whether it is the answer to a request."""
    made = Run()
    router, connection = venue.router(), venue.connection_rule()
    book = open_book(venue, session.book)
    assert book is not None
    rules: dict[str, Rule | None] = {}
    for raw, fetched in payloads:
        numbered = ""
        place = Place(None, SNAPSHOT_STREAM)
        if not fetched:
            number = connection.number(raw) if connection is not None else None
            if connection is not None and number is not None:
                verdict = connection.judge_number(number)
                numbered = verdict.name
                made.alarms[f"connection {numbered}"] += verdict not in QUIET
            key = router.route(raw)
            place = venue.place(key) if key is not None else Place(None, "other")
        name = SNAPSHOT_STREAM if fetched else f"{place.symbol or '_session'}/{place.stream}"
        if place.symbol is None and not fetched:
            made.found.append(Said(raw, name, (), "", "", numbered))
            continue
        mine = fetched or place.stream == session.book
        try:
            messages = venue.decoder(place.stream)(raw)
        except WireError:
            made.alarms[f"undecodable {place.stream}"] += 1
            if mine and not fetched:
                book.lose(1)
            made.found.append(Said(raw, name, ("undecodable",), "", book.state.value if mine else "", numbered))
            continue
        words: list[str] = []
        verdicts: list[str] = []
        for message in messages:
            words += in_words(message)
            if place.stream not in rules:
                rules[place.stream] = venue.rule(place.stream)
            rule = rules[place.stream]
            said = rule.judge(message) if rule is not None else None
            if mine and isinstance(message, Update):
                step = book.on_message(message, 1)
                said = step.verdict
                made.alarms["mismatch"] += step.mismatch is not None
                made.alarms["unreadable"] += step.error is not None
            if said is not None:
                verdicts.append(said.name)
                made.alarms[f"{place.stream} {said.name}"] += said not in QUIET
        state = book.state.value if mine else ""
        made.found.append(Said(raw, name, tuple(words), " ".join(verdicts), state, numbered))
    made.alarms[f"book {book.state.value}"] += 1
    made.alarms += Counter()  # without zeros
    made.final = tuple(shown(book))
    return made


def shown(book: BookSync) -> list[str]:
    """The book in words: levels, or orders, by id within a price as not every venue says who comes first."""
    found = []
    scale = book.book.scale
    for name, side in (("bids", Side.BID), ("asks", Side.ASK)):
        if isinstance(book.book, L3Book):
            rows = [(str(order), price, size) for order, price, size in book.book.orders(side)]
            rows.sort(key=lambda row: (row[1] if side is Side.ASK else -row[1], row[0]))
        else:
            levels = book.book.top(None)[side is Side.ASK]
            rows = [("", price, size) for price, size in levels]
        if rows:
            found.append(
                f"{name} "
                + ", ".join(
                    f"{order} {_decimal(price, scale.price_exp)} {_decimal(size, scale.size_exp)}".strip()
                    for order, price, size in rows
                )
            )
    return found


def _decimal(mantissa: int, exponent: int) -> str:
    return plain(Decimal(mantissa).scaleb(exponent))


def payloads(session: Session) -> list[tuple[bytes, bool]]:
    return [(record.raw, record.place == SNAPSHOT_STREAM) for record in session.records]


def differences(venue: Venue, row: Row) -> list[str]:
    """How the adapter reads the row's sessions otherwise than the row says."""
    found = []
    for session in row.sessions:
        made = run(venue, session, payloads(session))
        for at, (wanted, read) in enumerate(zip(session.records, made.found, strict=True), 1):
            for what in ("place", "verdict", "state", "connection"):
                if getattr(wanted, what) != getattr(read, what):
                    found.append(
                        f"{session}, record {at}: {what} {getattr(read, what)!r}, expected {getattr(wanted, what)!r}"
                    )
            found += [
                f"{session}, record {at}: says {one!r}, expected {other!r}"
                for one, other in zip_longest(read.says, wanted.says)
                if one != other
            ]
        if made.final != session.final:
            found.append(f"{session}: the book is {made.final}, expected {session.final}")
    return found
