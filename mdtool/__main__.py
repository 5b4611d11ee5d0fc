"""`python -m mdtool` is `mdtool`."""

from mdtool.commands.main import run

run()
