"""A part that is a flawless Parquet file, and holds something else than what was sealed, is not read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import CorruptStore
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND


@pytest.mark.parametrize("column", ["recv_ns", "session", "payload"])
def test_another_value_with_right_page_checksums_is_told(tmp_path, column):
    with Store.create(tmp_path / "store") as store:
        with store.writer(FEED, clock=ManualClock(NOON), sync="none") as writer:
            for number in range(5):
                writer.append(NOON + number, Kind.DATA, writer.stream("d"), 0, b"payload %d" % number)
        (part,) = seal_feed(store.feed(FEED), NOON + 9 * DAY).parts
        table = pq.read_table(part.where)
        at = table.schema.get_field_index(column)
        values = table.column(column)
        if column == "payload":
            changed = pa.array([b"payload !", *values.to_pylist()[1:]], values.type)
        else:
            number = pa.uint32() if column == "session" else pa.int64()
            changed = pc.add(values.cast(number), pa.scalar(1, number)).cast(values.type)
        other = table.set_column(at, table.schema.field(column), changed)
        pq.write_table(other.cast(table.schema), part.where, write_page_checksum=True)
        with pytest.raises(CorruptStore, match="row group 0 is not what was sealed"):
            list(store.reader(FEED).records())
        if column == "recv_ns":
            with pytest.raises(CorruptStore, match="row group 0 is not what was sealed"):
                store.reader(FEED).seek(NOON + 2)
