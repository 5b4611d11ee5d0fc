"""`mdtool deploy`: what is printed is what systemd, a composer and a builder take. No builder is asked: what they would
read is parsed."""

from __future__ import annotations

import configparser
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

READY = "import urllib.request as r; r.urlopen('http://127.0.0.1:9090/ready', timeout=5)"


class Unit(configparser.RawConfigParser):
    def __init__(self, text: str) -> None:
        super().__init__(strict=True, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read_string(text)


def test_a_unit(mdtool):
    done = mdtool("deploy", "systemd")
    assert (done.code, done.err) == (0, "")
    service = dict(Unit(done.out)["Service"])
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "mdtool"
    where = ["--config", "/etc/mdtool/config.toml", "--store", "/var/lib/mdtool"]
    assert words == [*where, "record", "--http", "127.0.0.1:9090"]
    assert shlex.split(service["ExecReload"]) == [program, *where, "reload"]
    expected = {
        "User": "mdtool", "Restart": "on-failure", "KillMode": "process", "NoNewPrivileges": "yes",
        "ProtectSystem": "strict", "StateDirectory": "mdtool", "LimitNOFILE": "1048576", "OOMPolicy": "continue",
    }  # fmt: skip
    assert {key: service[key] for key in expected} == expected
    assert "ReadWritePaths" not in service


def test_a_unit_with_places_of_its_own(mdtool):
    done = mdtool(
        "deploy", "systemd", "--store", "/data/m d%", "--config", "/srv/md.toml", "--user", "md", "--http", "0.0.0.0:9"
    )
    service = dict(Unit(done.out)["Service"])
    assert service["ExecStart"].split(" ", 1)[1] == (
        '--config /srv/md.toml --store "/data/m d%%" record --http 0.0.0.0:9'
    )
    assert (service["User"], service["ReadWritePaths"]) == ("md", '"/data/m d%%"')
    assert "StateDirectory" not in service
    assert "# Its store has to be there: install -d -o md -m 0750 '/data/m d%'" in done.out


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
@pytest.mark.parametrize("more", [(), ("--store", "/data/m d%")])
def test_systemd_finds_nothing_wrong_with_it(mdtool, tmp_path, more):
    unit = tmp_path / "mdtool.service"
    text = mdtool("deploy", "systemd", "--user", "root", *more).out
    program = text.partition("ExecStart=")[2].split()[0]
    unit.write_text(text.replace(program, shutil.which("true") or "/bin/true"))  # which has to be there
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if "mdtool" in line]
    assert (done.returncode, said) == (0, []), done.stderr


def test_a_compose_file(mdtool):
    done = mdtool("deploy", "compose")
    found = yaml.safe_load(done.out)
    service = found["services"]["mdtool"]
    assert service["command"] == [
        "--config", "/etc/mdtool/config.toml", "--store", "/var/lib/mdtool", "record", "--http", "127.0.0.1:9090",
    ]  # fmt: skip
    assert service["healthcheck"]["test"] == ["CMD", "python", "-c", READY]
    assert service["volumes"] == ["/etc/mdtool:/etc/mdtool:ro", "mdtool-store:/var/lib/mdtool"]
    assert found["volumes"] == {"mdtool-store": None}
    assert (service["shm_size"], service["init"], service["read_only"]) == ("1gb", True, True)
    done = mdtool("deploy", "compose", "--store", "/data/md", "--config", "/srv/md/config.toml", "--shm", "4gb")
    found = yaml.safe_load(done.out)
    assert found["services"]["mdtool"]["volumes"] == ["/srv/md:/etc/mdtool:ro", "/data/md:/var/lib/mdtool"]
    assert found["services"]["mdtool"]["shm_size"] == "4gb"
    assert "volumes" not in found


def test_a_dockerfile(mdtool):
    text = mdtool("deploy", "dockerfile").out
    joined = text.replace("\\\n", " ")
    lines = [line.split(None, 1) for line in joined.splitlines() if line and not line.startswith("#")]
    assert [word for word, _ in lines] == [
        "FROM", "RUN", "COPY", "RUN", "FROM", "RUN", "RUN", "USER", "ENV", "VOLUME", "STOPSIGNAL", "HEALTHCHECK",
        "ENTRYPOINT", "CMD",
    ]  # fmt: skip
    said = dict(lines)
    assert said["USER"] == "mdtool"
    assert json.loads(said["ENTRYPOINT"]) == ["mdtool"]
    assert json.loads(said["VOLUME"]) == ["/var/lib/mdtool"]
    assert json.loads(said["CMD"])[-3:] == ["record", "--http", "127.0.0.1:9090"]
    assert json.loads(said["HEALTHCHECK"].partition("CMD ")[2]) == ["python", "-c", READY]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("systemd", "--store", "md"), "--store 'md': expected an absolute path without quotes, colons, $ and \\"),
        (
            ("compose", "--config", "/a:b"),
            "--config '/a:b': expected an absolute path without quotes, colons, $ and \\",
        ),
        (("systemd", "--user", "a b"), "--user 'a b': expected the name or number of a user, as in mdtool"),
        (("dockerfile", "--http", "9090"), "--http '9090': expected ADDRESS:PORT, as in 127.0.0.1:9090"),
        (("compose", "--shm", "much"), "--shm 'much': expected a size as docker has it, as in 512mb or 1gb"),
    ],
)
def test_what_cannot_be_written_down_is_refused(mdtool, words, said):
    done = mdtool("deploy", *words)
    assert (done.code, done.out, done.error_line) == (2, "", f"mdtool: {said}")
