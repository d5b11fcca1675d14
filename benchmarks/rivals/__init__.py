"""The rivals: what they are (``rivals.toml``), their environments, and a subprocess to measure each in."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Rival", "cache_folder", "install", "known"]

#: Of the bare contender and the harness, in every environment.
_COMMON = ("aiohttp", "orjson", "uvloop; platform_system != 'Windows'")


@dataclass(frozen=True)
class Rival:
    """One row of ``rivals.toml``."""

    name: str
    title: str
    environment: str
    requirements: tuple[str, ...]

    @property
    def python(self) -> Path:
        """Its interpreter, there once it is installed."""
        return cache_folder() / self.environment / "bin" / "python"

    @property
    def installed(self) -> bool:
        """Whether exactly these requirements were installed."""
        return _stamp(self).is_file() and _stamp(self).read_text() == "\n".join(self.requirements)


def cache_folder() -> Path:
    """Where the environments are: ``BENCHMARKS_CACHE``, or a folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("BENCHMARKS_CACHE") or Path(cache) / "asyncapi-benchmarks")


def known() -> dict[str, Rival]:
    """Every rival by name."""
    rows = tomllib.loads((Path(__file__).parent / "rivals.toml").read_text())
    return {
        name: Rival(name, row["title"], row.get("environment", name), tuple(row["requirements"]))
        for name, row in rows.items()
    }


def install(rival: Rival) -> None:
    """Make its environment, with pip.

    Raises:
        subprocess.CalledProcessError: pip could not.
    """
    if rival.installed:
        return
    folder = cache_folder() / rival.environment
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    command = [str(rival.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *rival.requirements, *_COMMON], check=True)
    _stamp(rival).write_text("\n".join(rival.requirements))


def _stamp(rival: Rival) -> Path:
    return cache_folder() / rival.environment / "installed.txt"
