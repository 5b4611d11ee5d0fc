"""Command line over settings over what a feed was given before: each only where it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from patience import LONGEST

from mdtool.commands.tasks.recording import Wanted
from mdtool.config import RecordDefaults, load
from mdtool.errors import UsageError

LIMIT = 40
NOTHING = Wanted("sim", (), None, None, None, None, False, None, None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, None, "1s")),
        ("[record]", (None, None, "1s")),
        ('[record]\nlive = "disk"\nchunk_size = "64MiB"\nsync = "1s"', ("disk", 64 << 20, "1s")),
        ('[record]\nlive = "shm"\nchunk_size = "1MiB"\nsync = "none"', ("shm", 1 << 20, "none")),
    ],
)
def test_what_the_settings_say_counts_even_where_it_is_what_would_hold_anyway(tmp_path, text, expected):
    file = tmp_path / "config.toml"
    file.write_text(text)
    options = NOTHING.options(load(file=file, env={"HOME": "/"}).record)
    assert (options.live, options.chunk_bytes, options.sync) == expected


def test_a_feed_in_shared_memory_goes_to_disk_where_the_settings_say_so(mdtool, tmp_path):
    """`record` for no time at all, against nothing: the setting of the feed is what is looked at."""
    from mdtool.storage.store import Store

    store, home = tmp_path / "store", tmp_path / "home"

    def recorded(*options):
        done = mdtool(
            "--store", store, "record", "sim", "ALPHA_USDT", "--url", "ws://127.0.0.1:9", "--for", "1ms", *options
        )
        assert done.code == 0, done.err
        with Store.open(store) as opened:
            return opened.feed("sim/ALPHA_USDT").live.name

    assert recorded("--live", "shm") == "SHM"
    assert recorded() == "SHM"
    (home / ".config" / "mdtool").mkdir(parents=True)
    (home / ".config" / "mdtool" / "config.toml").write_text('[record]\nlive = "disk"\n')
    assert recorded() == "DISK"


@pytest.mark.parametrize("url", [{"url": ""}, {"rest": ""}, {"url": "ws://127.0.0.1:9", "rest": ""}])
def test_an_empty_address_is_none(url):
    from dataclasses import replace

    with pytest.raises(UsageError, match="URL '': expected"):
        replace(NOTHING, **url).options(RecordDefaults())


def test_too_many_open_files_says_which_limit(start, tmp_path):
    import resource

    process = start(
        "--store", tmp_path / "store", "record", "sim", *(f"S{number}A_USDT" for number in range(40)),
        "--url", "ws://127.0.0.1:9", "--fail-fast",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT)),
    )  # fmt: skip
    _, err = process.communicate(timeout=LONGEST)
    assert (process.returncode, len(err.splitlines())) == (2, 1)
    assert f"Too many open files; a process of this user may have {LIMIT} open, and a feed" in err


def test_an_option_counts_before_the_setting_for_certificates_and_packed_frames(tmp_path, monkeypatch):
    import ssl
    from dataclasses import replace

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda self, cafile: None)
    file = tmp_path / "config.toml"
    file.write_text('[record]\nca = "mine.pem"\ndeflate = true\n')
    settings = load(file=file, env={"HOME": "/"}).record
    monkeypatch.chdir(tmp_path / "..")

    def found(wanted, settings):
        options = wanted.options(settings)
        return options.ca, options.deflate

    nothing = RecordDefaults()
    assert found(NOTHING, nothing) == (None, False)
    assert found(NOTHING, settings) == (str(tmp_path / "mine.pem"), True)
    given = replace(NOTHING, ca="other.pem", deflate=False)
    assert found(given, settings) == (str(Path.cwd() / "other.pem"), False)
    assert found(replace(NOTHING, deflate=True), nothing) == (None, True)


def test_a_file_of_certificates_that_is_none_is_one_line_and_nothing_is_begun(mdtool, tmp_path):
    done = mdtool("--store", tmp_path / "store", "record", "sim", "--url", "wss://127.0.0.1:9", "--ca", "none.pem")
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert "none.pem: No such file or directory, expected certificates in PEM" in done.err
