"""What serves HTTP may die, hang or never start: it is told and started again, and who asks meanwhile waits."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import aiohttp
import pytest
from duty import well
from patience import until

from mdtool.capture.backoff import Backoff
from mdtool.capture.child import environment
from mdtool.service import attending
from mdtool.service.attending import Attendant
from mdtool.service.listening import listen, url
from mdtool.service.processes import children

Play = Callable[[str, list[str]], Awaitable[None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.05)


def attended(tmp_path: Path, play: Play) -> list[str]:
    """What `play(url, said)` does while it is attended to; what was said. None of it is left behind."""
    said: list[str] = []

    async def main() -> None:
        with well(tmp_path / "store") as duty, listen("127.0.0.1", 0) as listening:
            attendant = asyncio.create_task(Attendant(duty.store.path, listening, said.append, Random(1)).run())
            try:
                await play(url(listening), said)
            finally:
                attendant.cancel()
                await asyncio.gather(attendant, return_exceptions=True)

    asyncio.run(main())
    assert servers() == []
    return said


def servers() -> list[int]:
    return [pid for pid, module in children(os.getpid()).items() if module == attending.WEB]


async def get(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as answer:
        return answer.status, await answer.text()


def test_one_that_is_killed_is_started_again_and_who_asked_is_answered(tmp_path: Path) -> None:
    async def play(base: str, said: list[str]) -> None:
        async with aiohttp.ClientSession() as session:
            # The very first: nobody is refused while it starts.
            assert '"recorders":1' in (await get(session, base + "health"))[1]
        (first,) = servers()
        os.kill(first, signal.SIGKILL)
        await until(lambda: first not in servers())
        async with aiohttp.ClientSession() as session:
            assert '"recorders":1' in (await get(session, base + "health"))[1]
        assert servers() != [first]

    assert attended(tmp_path, play) == ["what serves HTTP has ended: killed by signal 9; starting it again in 0.1 s"]


def test_one_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(base: str, said: list[str]) -> None:
        async with aiohttp.ClientSession() as session:
            await get(session, base)
        (first,) = servers()
        monkeypatch.setattr(attending, "SILENCE", 0.05)  # from its next sign of life on
        os.kill(first, signal.SIGSTOP)
        await until(lambda: said)
        monkeypatch.undo()

    monkeypatch.setattr(attending, "SILENCE", 6.0)  # one sign is due each five
    assert attended(tmp_path, play)[0].startswith("what serves HTTP has ended: no sign of life for ")


def test_one_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "WEB", "mdtool.service.no_such_module")

    async def play(base: str, said: list[str]) -> None:
        await until(lambda: len(said) > 1)

    said = attended(tmp_path, play)
    assert "No module named mdtool.service.no_such_module; starting it again in 0.1 s" in said[0]


def test_it_ends_with_who_began_it(tmp_path: Path) -> None:
    """However that ends: a port must not stay taken by an orphan."""
    code = f"""
import asyncio, sys
from pathlib import Path
from random import Random
from mdtool.service.attending import Attendant
from mdtool.service.listening import listen, url

async def main():
    with listen("127.0.0.1", 0) as listening:
        print(url(listening), flush=True)
        await Attendant(Path({str(tmp_path / "store")!r}), listening, print, Random(1)).run()

asyncio.run(main())
"""

    async def main() -> None:
        with well(tmp_path / "store"):
            parent = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, env=environment(), stdout=asyncio.subprocess.PIPE
            )
            assert parent.stdout is not None
            base = (await parent.stdout.readline()).decode().strip()
            async with aiohttp.ClientSession() as session:
                assert (await get(session, base))[0] == 200
            (child,) = children(parent.pid)
            parent.kill()
            await parent.wait()
            await until(lambda: not Path(f"/proc/{child}").exists())

    asyncio.run(main())
