"""What `mdtool doctor` looks at: the machine, the store, and venues where they are named."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence

from mdtool.capture.options import record_options
from mdtool.capture.reach import reach
from mdtool.capture.timekeeping import kernel_clock
from mdtool.clock import SystemClock
from mdtool.config import Config
from mdtool.errors import MdtoolError, NotAStore, UsageError
from mdtool.service import checkup
from mdtool.service.checkup import Check
from mdtool.storage.store import Store
from mdtool.venues import catalog


def checks(
    config: Config, venues: Sequence[str], url: str | None, rest: str | None, told: Callable[[str], None]
) -> Iterator[Check]:
    """Everything, one by one. Raises UsageError, UnknownVenue."""
    if (url is not None or rest is not None) and len(venues) != 1:
        raise UsageError("--url and --rest are of one venue: name it")
    named = [catalog.get(name) for name in venues]
    yield Check("settings", f"read from {config.file}" if config.file is not None else "none but the defaults")
    try:
        with Store.open(config.store) as store:
            told("looking at the store")
            yield from checkup.checkup(store, SystemClock().now_ns())
    except NotAStore:
        yield _no_store(config)
        yield checkup.files(0)
        yield checkup.shared_memory(0)
        yield checkup.clock(kernel_clock())
        yield checkup.governor()
    except MdtoolError as error:
        yield Check("store", str(error), "run: mdtool verify")
    for venue in named:
        told(f"trying {venue.title}")
        options = record_options(venue, ws_url=url, rest_url=rest, ca=config.record.ca)
        for reached in asyncio.run(reach(venue, options.ws_url, options.rest_url, options.symbols, options.ca)):
            todo = None
            if reached.why is not None:
                todo = "see to the network, the proxy (HTTPS_PROXY) or the firewall between here and there"
            found = reached.why or f"{reached.found}, {reached.ms:.0f} ms"
            yield Check(venue.name, f"{reached.url}: {found}", todo)


def _no_store(config: Config) -> Check:
    """None yet: whether one can be made."""
    parent = next(path for path in (config.store, *config.store.parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        return Check("store", f"{config.store}: not there, and {parent} cannot be written to", "give another --store")
    return Check("store", f"{config.store}: not there yet; mdtool record makes it")
