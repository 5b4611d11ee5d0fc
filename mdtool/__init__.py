"""Record live market-data feeds without losing a byte; store, prove, replay and show them.

The face of the Python API. Names are loaded when first used, so `import mdtool` is cheap and loads no numpy.
Times are ns since the epoch, UTC; payloads are the bytes received; every failure is an `MdtoolError` whose message says
where, what was found, what was expected and what to do.

What a recorder (or `mdtool import`) has put into a store is read by any number of readers, while it is being written
and after. This makes a feed of two records, which `mdtool record` would do for a venue:

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/md"
    >>> with mdtool.Store.create(path) as store, store.writer("sim/ALPHA_USDT") as writer:
    ...     trade = writer.stream("trade")
    ...     writer.append(1760000000000000000, mdtool.Kind.DATA, trade, 1, b'{"p":"64.2","q":"1"}')
    ...     writer.append(1760000000250000000, mdtool.Kind.DATA, trade, 1, b'{"p":"64.3","q":"2"}')
    ...     writer.end(1760000001000000000, "done")

Read it, record by record or as numpy views of the row index, from a time on. A feed is named as on the command line,
and a time is ns, a datetime with its zone, or text:

    >>> store = mdtool.open_store(path)
    >>> with store.reader("ALPHA_USDT") as reader:
    ...     reader.seek("first+100ms")
    ...     for record in reader.records():
    ...         print(record.recv_ns, reader.stream_name(record.stream), record.payload)
    1760000000250000000 trade b'{"p":"64.3","q":"2"}'
    1760000001000000000 session b'{"reason": "done"}'
    >>> for batch in store.reader("sim/ALPHA_USDT").batches():
    ...     print(batch.rows["recv_ns"] - 1760000000000000000, batch.payload(0))
    [         0  250000000 1000000000] b'{"p":"64.2","q":"1"}'

Follow it while it is written, until its writer ends it; go on after a restart where a named cursor stands:

    >>> with store.reader("sim/ALPHA_USDT") as reader, store.cursor("sim/ALPHA_USDT", "to-redis") as cursor:
    ...     reader.move_to(cursor.position)
    ...     for record in reader.follow(until_end=True):
    ...         cursor.commit(record.position + 1)
    ...     print(reader.detect_disconnect(5_000_000_000, 1760000002000000000).reason)
    Reason.ENDED

Several feeds as one are `FanIn` (live) and `mdtool.replay` (as recorded, paced); a feed that does not exist yet is
waited for with `discover`. `events` is everything a feed says, as numpy rows. `Book` is a feed's order book, in step
with its messages, on a grid of times, or a day at once; `BookSync` is the state machine under it, for messages that
come from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from mdtool.api import Store
    from mdtool.books.book import Book
    from mdtool.books.events import events
    from mdtool.books.l2 import L2Book
    from mdtool.books.l3 import L3Book
    from mdtool.books.sync import BookSync
    from mdtool.books.tops import Tops
    from mdtool.errors import MdtoolError
    from mdtool.kernel.journal import Record
    from mdtool.model import EVENT, WIDE_EVENT, Flag, Kind, Scale, Side
    from mdtool.storage.discovery import discover
    from mdtool.storage.journal.batch import Batch
    from mdtool.storage.journal.presence import Disconnect, Reason, WriterStatus
    from mdtool.storage.journal.writer import Writer
    from mdtool.storage.reading.cursor import Cursor
    from mdtool.storage.reading.fanin import FanIn
    from mdtool.storage.reading.reader import Reader
    from mdtool.storage.store import FeedInfo

__version__ = "0.1.0"

__all__ = [
    "EVENT",
    "WIDE_EVENT",
    "Batch",
    "Book",
    "BookSync",
    "Cursor",
    "Disconnect",
    "FanIn",
    "FeedInfo",
    "Flag",
    "Kind",
    "L2Book",
    "L3Book",
    "MdtoolError",
    "Reader",
    "Reason",
    "Record",
    "Scale",
    "Side",
    "Store",
    "Tops",
    "Writer",
    "WriterStatus",
    "discover",
    "events",
    "open_store",
]

# Where each name lives; the module is imported when the name is first asked for.
_HOMES = {
    "EVENT": "mdtool.model",
    "WIDE_EVENT": "mdtool.model",
    "Batch": "mdtool.storage.journal.batch",
    "Book": "mdtool.books.book",
    "BookSync": "mdtool.books.sync",
    "Cursor": "mdtool.storage.reading.cursor",
    "Disconnect": "mdtool.storage.journal.presence",
    "FanIn": "mdtool.storage.reading.fanin",
    "FeedInfo": "mdtool.storage.store",
    "Flag": "mdtool.model",
    "Kind": "mdtool.model",
    "L2Book": "mdtool.books.l2",
    "L3Book": "mdtool.books.l3",
    "MdtoolError": "mdtool.errors",
    "Reader": "mdtool.storage.reading.reader",
    "Reason": "mdtool.storage.journal.presence",
    "Record": "mdtool.kernel.journal",
    "Scale": "mdtool.model",
    "Side": "mdtool.model",
    "Store": "mdtool.api",
    "Tops": "mdtool.books.tops",
    "Writer": "mdtool.storage.journal.writer",
    "WriterStatus": "mdtool.storage.journal.presence",
    "discover": "mdtool.storage.discovery",
    "events": "mdtool.books.events",
}


def open_store(path: str | os.PathLike[str] | None = None) -> Store:
    """The store at `path`; without one, the store the command line would use ($MDTOOL_STORE, else the XDG data
    directory). Raises NotAStore where there is none."""
    from pathlib import Path

    from mdtool.api import Store
    from mdtool.config import store_path

    return Store.open(store_path() if path is None else Path(path).expanduser())


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mdtool' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
