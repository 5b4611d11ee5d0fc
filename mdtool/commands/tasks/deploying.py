"""Files that have others run mdtool: what is written in them of this machine, and of who asks for them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from mdtool.errors import UsageError

STATE = PurePosixPath("/var/lib")  # what systemd keeps the state of services in
CONTAINER_CONFIG = "/etc/mdtool/config.toml"
CONTAINER_STORE = "/var/lib/mdtool"
CONTAINER_USER = "mdtool"
UID = 10001  # beyond those that a machine gives its people
NAMED_VOLUME = "mdtool-store"
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\$?|[0-9]{1,9}")
_PATH = re.compile(r"/[^\x00-\x1f\x7f\"'\\$:]*")  # what every one of these files can be given as it is
_HTTP = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
_SIZE = re.compile(r"[1-9][0-9]*[kmg]b?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as whom it is to run. Raises UsageError for what cannot be written down."""

    config: Path
    store: Path | None
    user: str
    http: str
    shm: str = "1gb"

    def __post_init__(self) -> None:
        for what, path in (("--config", self.config), ("--store", self.store)):
            if path is not None and not _PATH.fullmatch(str(path)):
                raise UsageError(f"{what} {str(path)!r}: expected an absolute path without quotes, colons, $ and \\")
        if not _USER.fullmatch(self.user):
            raise UsageError(f"--user {self.user!r}: expected the name or number of a user, as in mdtool")
        if not _HTTP.fullmatch(self.http):
            raise UsageError(f"--http {self.http!r}: expected ADDRESS:PORT, as in 127.0.0.1:9090")
        if not _SIZE.fullmatch(self.shm):
            raise UsageError(f"--shm {self.shm!r}: expected a size as docker has it, as in 512mb or 1gb")

    def systemd(self) -> str:
        """A unit."""
        store = self.store or Path(CONTAINER_STORE)
        program = _program()
        at_home = program.startswith(("/home/", "/root/"))
        state = PurePosixPath(store)
        managed = state.parent == STATE and state.name not in ("", "private")
        return _filled("mdtool.service", {
            "USER": self.user,
            "MDTOOL": _word(program),
            "CONFIG": _word(str(self.config)),
            "STORE": _word(str(store)),
            "HTTP": self.http,
            "HOME": "read-only" if at_home else "yes",
            "PREPARE": "" if managed else f"\n# Its store has to be there: install -d -o {self.user} -m 0750 '{store}'",
            "WRITABLE": f"StateDirectory={_word(state.name)}\nStateDirectoryMode=0750"
            if managed
            else f"ReadWritePaths={_word(str(store))}",
        })  # fmt: skip

    def dockerfile(self) -> str:
        """An image's."""
        return _filled("Dockerfile", {
            "USER": CONTAINER_USER,
            "UID": str(UID),
            "STORE": CONTAINER_STORE,
            "STORE_LIST": json.dumps([CONTAINER_STORE]),
            "READY": self._ready(),
            "COMMAND": json.dumps(self._command()),
        })  # fmt: skip

    def compose(self) -> str:
        """A compose file."""
        store = str(self.store) if self.store is not None else NAMED_VOLUME
        return _filled("compose.yml", {
            "COMMAND": json.dumps(self._command()),
            "HOST_CONFIG": str(self.config),
            "CONFIG_MOUNT": json.dumps(f"{self.config.parent}:{os.path.dirname(CONTAINER_CONFIG)}:ro"),  # noqa: PTH120
            "STORE_MOUNT": json.dumps(f"{store}:{CONTAINER_STORE}")
            + (f"  # has to belong to user {UID}: chown {UID}" if self.store is not None else ""),
            "READY": self._ready(),
            "SHM": self.shm,
            "VOLUMES": f"volumes:\n  {NAMED_VOLUME}:" if self.store is None else "",
        })  # fmt: skip

    def _command(self) -> list[str]:
        return ["--config", CONTAINER_CONFIG, "--store", CONTAINER_STORE, "record", "--http", self.http]

    def _ready(self) -> str:
        host, _, port = self.http.rpartition(":")
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else '[::1]' if host == '[::]' else host}:{port}/ready"


def _program() -> str:
    """Where this program is, as a service is to call it."""
    beside = Path(sys.executable).with_name("mdtool")
    if beside.exists():
        return str(beside)
    return shutil.which("mdtool") or "/usr/local/bin/mdtool"


def _word(text: str) -> str:
    """As one word of a unit."""
    escaped = text.replace("%", "%%")
    return f'"{escaped}"' if " " in escaped else escaped


def _filled(name: str, values: dict[str, str]) -> str:
    template = resources.files("mdtool.commands.tasks").joinpath("deploy", name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], template).rstrip("\n")
