"""What the figures were measured on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from benchmarks.servers import nginx_path

__all__ = ["machine"]

_PACKAGES = ("asyncapi-inference", "aiohttp", "msgspec", "orjson", "uvloop")


def machine(command: str, loop: str) -> dict[str, str]:
    """Processor, versions, date and command, in the order in which they are shown."""
    about = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load at the start": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()} on {loop}",
        "server of plain calls": nginx_path() or "asyncio protocol (no nginx here)",
        "commit": _commit(),
    }
    for package in _PACKAGES:
        try:
            about[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return about


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    try:
        ran = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return ran.stdout.strip()
