"""Parts on an S3-compatible store (moto's server, on loopback): sealed there, read back by the same Reader."""

from __future__ import annotations

from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import ChunkUnavailable, StoreError
from mdtool.storage.format.layout import Location
from mdtool.storage.parts.archive import place_of
from mdtool.storage.parts.remote import RemotePlace
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute, finish
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
LATER = NOON + 30 * DAY
BUCKET = "market-data"


@pytest.fixture(scope="module")
def server():
    made = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"{host}:{port}"
    made.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """An empty bucket, and an environment with no other way out than to it."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    urlopen(Request(f"http://{server}/moto-api/reset", method="POST")).close()
    client = boto3.client("s3", endpoint_url=f"http://{server}")
    client.create_bucket(Bucket=BUCKET)
    return client


def keys(bucket):
    """Of the objects; pyarrow leaves an empty one behind for a folder that a deletion has emptied."""
    found = (one["Key"] for one in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", []))
    return sorted(key for key in found if not key.endswith("/"))


def filled(tmp_path, archive):
    store = Store.create(tmp_path / "store")
    with store.writer(FEED, chunk_bytes=4096, sync="none", clock=ManualClock(NOON)) as writer:
        for day in (0, 1):
            for n in range(4):
                writer.append(NOON + day * DAY + n, 1, writer.stream(f"s{n}"), 1, b"%d %d " % (day, n) * 450)
    store._registry.update_feed(store.feed(FEED).feed_id, {"archive": archive.encode()})
    return store


def everything(store):
    return [(r.position, r.recv_ns, r.stream, r.payload) for r in store.reader(FEED).records()]


def parts_of(store):
    feed = store.feed(FEED)
    return feed, feed.directory, [info.location for info in store.reader(FEED).chunks()]


NAMES = ["date=2023-11-15/000001.parquet", "date=2023-11-16/000002.parquet"]


def parts_below(store, names=NAMES):
    return [f"lake/recorder={store.id}/venue=sim/symbol=ALPHA_USDT/{name}" for name in names]


@pytest.mark.parametrize("endpoint", ["query", "environment"])
def test_parts_on_an_object_store_are_read_as_local_ones(tmp_path, server, bucket, monkeypatch, endpoint):
    archive = f"s3://{BUCKET}/lake?region=us-east-1"
    if endpoint == "query":
        archive += f"&endpoint_override={server}&scheme=http"
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server}")
    with filled(tmp_path, archive) as store:
        before = everything(store)
        report = seal_feed(store.feed(FEED), LATER)
        assert report.error is None
        assert [part.where for part in report.parts] == [f"s3://{BUCKET}/{key}" for key in parts_below(store)]
        assert keys(bucket) == parts_below(store)
        _, directory, locations = parts_of(store)
        assert set(locations) == {Location.PART}
        assert not list(directory.rglob("*.parquet")) + list(directory.glob(".*.sealing"))
        assert everything(store) == before
        reader = store.reader(FEED)
        reader.seek(NOON + DAY + 2)
        assert next(reader.records()).recv_ns == NOON + DAY + 2
        assert seal_feed(store.feed(FEED), LATER).parts == ()


def test_an_upload_that_the_registry_never_heard_of_is_adopted_or_left(tmp_path, server, bucket):
    with filled(tmp_path, f"s3://{BUCKET}/lake?region=us-east-1&endpoint_override={server}&scheme=http") as store:
        before = everything(store)

        def step(told):
            if told == "published":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            seal_feed(store.feed(FEED), LATER, step=step)
        taken = parts_below(store)[1]
        bucket.put_object(Bucket=BUCKET, Key=taken, Body=b"somebody's")
        report = seal_feed(store.feed(FEED), LATER)
        assert report.error is None
        assert [(part.part, part.adopted) for part in report.parts] == [(1, True), (3, False)]
        assert report.foreign == (f"s3://{BUCKET}/{taken}",)
        assert bucket.get_object(Bucket=BUCKET, Key=taken)["Body"].read() == b"somebody's"
        assert everything(store) == before


def test_a_store_that_cannot_be_reached_costs_nothing(tmp_path, server, bucket):
    with filled(tmp_path, f"s3://no-such-bucket/lake?region=us-east-1&endpoint_override={server}&scheme=http") as store:
        before = everything(store)
        report = seal_feed(store.feed(FEED), LATER)
        assert report.parts == ()
        assert "s3://no-such-bucket/lake" in report.error
        assert everything(store) == before
        assert not list(store.feed(FEED).directory.glob(".*.sealing"))
    with filled(tmp_path / "two", "nothing://there") as store:
        assert "cannot be used" in seal_feed(store.feed(FEED), LATER).error
    secret = f"s3://somebody:word@no-such-bucket/lake?region=us-east-1&endpoint_override={server}&scheme=http"
    with filled(tmp_path / "three", secret) as store:
        assert "word" not in seal_feed(store.feed(FEED), LATER).error


def test_what_is_gone_is_said(tmp_path, server, bucket):
    with filled(tmp_path, f"s3://{BUCKET}/lake?region=us-east-1&endpoint_override={server}&scheme=http") as store:
        seal_feed(store.feed(FEED), LATER)
        place = place_of(store.feed(FEED))
        name = NAMES[0]
        assert place.size(name) == bucket.head_object(Bucket=BUCKET, Key=parts_below(store)[0])["ContentLength"]
        place.remove(name)
        place.remove(name)
        assert place.size(name) is None
        assert keys(bucket) == parts_below(store)[1:]
        with pytest.raises(ChunkUnavailable, match=r"date=2023-11-15/000001\.parquet"):
            everything(store)
        with pytest.raises(FileExistsError):
            place.publish(Path(__file__), NAMES[1])
        with pytest.raises((StoreError, OSError)):
            place.set_aside(name)


def test_retention_removes_objects_and_finishes_what_a_crash_began(tmp_path, bucket, server, monkeypatch):
    store = filled(tmp_path, f"s3://{BUCKET}/md?endpoint_override={server}&scheme=http")
    feed = store.feed(FEED)
    assert seal_feed(feed, LATER).error is None
    before, objects = everything(store), keys(bucket)
    assert len(objects) == 2
    made = plan([feed], RetentionLimits(older_than_ns=LATER - NOON - DAY // 2), LATER)
    assert [one.unit.path for one in made.removals] == [f"s3://{BUCKET}/{objects[0]}"]
    assert made.removals[0].unit.bytes == bucket.head_object(Bucket=BUCKET, Key=objects[0])["ContentLength"]

    def cut(self, name):
        raise StoreError("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(RemotePlace, "discard", cut)
        with pytest.raises(StoreError, match="the network is gone"):
            list(execute(made))
    assert keys(bucket) == objects
    left = [record for record in before if record[1] >= NOON + DAY]
    assert everything(store) == left  # marked, so readers pass it by
    assert finish(feed) > 0
    assert keys(bucket) == objects[1:]
    assert everything(store) == left
    assert finish(feed) == 0
