"""Record live market-data feeds without losing a byte; store, prove, replay and show them.

The face of the Python API. Names are loaded when first used, so `import mdtool` is cheap and loads no numpy:

    import mdtool

    store = mdtool.open_store("~/md")
    with store.reader("binance-usdm/ETH_USDT") as reader:
        for record in reader.records():
            print(record.recv_ns, reader.stream_name(record.stream), record.payload)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from mdtool.books.l2 import L2Book
    from mdtool.books.sync import BookSync
    from mdtool.errors import MdtoolError
    from mdtool.kernel.journal import Record
    from mdtool.model import EVENT, Flag, Kind, Scale
    from mdtool.storage.reader import Reader
    from mdtool.storage.store import FeedInfo, Store
    from mdtool.storage.writer import Writer

__version__ = "0.1.0"

__all__ = [
    "EVENT",
    "BookSync",
    "FeedInfo",
    "Flag",
    "Kind",
    "L2Book",
    "MdtoolError",
    "Reader",
    "Record",
    "Scale",
    "Store",
    "Writer",
    "open_store",
]

# Where each name lives; the module is imported when the name is first asked for.
_HOMES = {
    "EVENT": "mdtool.model",
    "BookSync": "mdtool.books.sync",
    "FeedInfo": "mdtool.storage.store",
    "Flag": "mdtool.model",
    "Kind": "mdtool.model",
    "L2Book": "mdtool.books.l2",
    "MdtoolError": "mdtool.errors",
    "Reader": "mdtool.storage.reader",
    "Record": "mdtool.kernel.journal",
    "Scale": "mdtool.model",
    "Store": "mdtool.storage.store",
    "Writer": "mdtool.storage.writer",
}


def open_store(path: str | os.PathLike[str] | None = None) -> Store:
    """The store at `path`; without one, the store the command line would use ($MDTOOL_STORE, else the XDG data
    directory). Raises NotAStore where there is none."""
    from pathlib import Path

    from mdtool.config import store_path
    from mdtool.storage.store import Store

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
