"""One process records what a file of settings asks for into a store, and is found by who asks for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mdtool.errors import FeedLocked
from mdtool.service.presence import everybody, present, taking_its_place
from mdtool.service.roster import Roster


def test_it_is_there_for_as_long_as_it_lasts(tmp_path):
    roster, file, other = Roster(tmp_path), tmp_path / "a.toml", tmp_path / "b.toml"
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    assert (present(roster, file), everybody(roster)) == (None, [])
    with taking_its_place(roster, file) as socket, taking_its_place(roster, other):
        found = present(roster, link)
        assert found is not None
        assert (found.file, found.pid, found.socket) == (str(file), os.getpid(), socket)
        assert [one.file for one in everybody(roster)] == [str(file), str(other)]
        assert roster.names() == []  # it is no recorder
        with pytest.raises(FeedLocked) as caught, taking_its_place(roster, file):
            pass
        assert str(caught.value) == (
            f"{file}: what it asks for is recorded already, by mdtool record, pid {os.getpid()}; to have it read anew: "
            "mdtool reload, to end it: mdtool stop"
        )
    assert (present(roster, file), everybody(roster)) == (None, [])


def test_who_is_killed_is_gone(tmp_path):
    code = (
        "import os, sys, pathlib; from mdtool.service.presence import taking_its_place as t;"
        "from mdtool.service.roster import Roster as R; p = pathlib.Path(sys.argv[1]);"
        "t(R(p), p / 'a.toml').__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    assert present(Roster(tmp_path), tmp_path / "a.toml") is None
    with taking_its_place(Roster(tmp_path), tmp_path / "a.toml"):
        pass
