"""Where an item belongs: the venue's routing, and the two things a file says without naming a symbol in the frame:
a REST body among the frames, and a REST body under its URL."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable
from urllib.parse import parse_qsl, unquote, urlsplit

from mdtool.errors import UnknownSymbol, WireError
from mdtool.interop.item import Item
from mdtool.model import OTHER_STREAM, SNAPSHOT_STREAM, Kind, Update
from mdtool.venues.venue import Place, Venue

SESSION = "session"

_NOWHERE = Place(None, OTHER_STREAM)
_SESSION = Place(None, SESSION)


class LineRouter:
    """Places the items of one file. `symbol` is what the file's REST bodies without a URL are of: given, or the
    first one a frame names."""

    def __init__(self, venue: Venue, symbol: str | None = None) -> None:
        self.symbol = symbol
        self._venue = venue
        self._route = venue.router().route
        self._is_snapshot = venue.decoder(SNAPSHOT_STREAM)
        self._places: dict[Hashable, Place] = {}
        self._urls: dict[str, Place] = {}

    def place(self, item: Item) -> tuple[Kind, Place] | None:
        """What the item is and where it belongs; None while that symbol is not known yet."""
        kind = item.kind
        if kind == Kind.DATA:
            key = self._route(item.payload)
            if key is None:
                place = _NOWHERE
            elif (found := self._places.get(key)) is not None:
                place = found
            else:
                place = self._places[key] = self._venue.place(key)
            if place.symbol is not None:
                if self.symbol is None:
                    self.symbol = place.symbol
            elif place.stream == OTHER_STREAM and self._is_whole_book(item.payload):
                return None if self.symbol is None else (Kind.RESPONSE, Place(self.symbol, SNAPSHOT_STREAM))
            return kind, place
        if kind == Kind.OPEN:  # what the last connection said of itself does not hold for this one
            self._route = self._venue.router().route
        if kind == Kind.RESPONSE:
            return kind, self._place_of_url(item.url or "", item.payload)
        return kind, _SESSION

    def _is_whole_book(self, payload: bytes) -> bool:
        try:
            messages = self._is_snapshot(payload)
        except WireError:
            return False
        return any(isinstance(message, Update) and message.snapshot for message in messages)

    def _place_of_url(self, url: str, body: bytes) -> Place:
        place = self._urls.get(url)
        if place is not None:
            return place
        symbol = symbol_of_url(self._venue, url)
        if symbol is None and self._is_whole_book(body):
            symbol = _only_symbol(self._venue, url)
        if symbol is None:
            return _NOWHERE
        place = self._urls[url] = Place(symbol, SNAPSHOT_STREAM)
        return place


def symbol_of_url(venue: Venue, url: str) -> str | None:
    """The canonical symbol whose whole book `url` asks the venue for; None where it asks for something else.

    Any word of the URL may be the symbol: it is one if the venue's own request for that symbol has the same path and
    names it in the same place.
    """
    asked = urlsplit(url)
    query = dict(parse_qsl(asked.query))
    for word in (*query.values(), *asked.path.split("/")):
        try:
            symbol = venue.named(word)
            request = venue.snapshot_request(symbol)
        except UnknownSymbol:
            continue
        if request is None:
            return None
        own = urlsplit(request.path)
        naming = {key: value for key, value in parse_qsl(own.query) if value == venue.native(symbol)}
        if unquote(own.path) == unquote(asked.path) and naming.items() <= query.items():
            return symbol
    return None


def _only_symbol(venue: Venue, url: str) -> str | None:
    """The one symbol a URL names, where it names one: the whole book of it may have been asked for in another way, with
    a key or by a path of that time."""
    asked = urlsplit(url)
    found = set()
    for word in (*dict(parse_qsl(asked.query)).values(), *asked.path.split("/")):
        with contextlib.suppress(UnknownSymbol):
            found.add(venue.canonical(word))
    return found.pop() if len(found) == 1 else None
