"""What an output belongs to, and the lock that one run holds on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from asyncapi.errors import ConfigError
from asyncapi.jobs.reader import Survey

__all__ = ["Manifest", "boot_id", "journal_folder", "locked"]

_VERSION = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The fingerprint of a run: its input and what decides its requests.

    ``boot`` tells whether the machine was restarted since: then what it had not yet written to the
    disk is lost, and the index is not trusted.
    """

    input: Survey
    identity: dict[str, Any]
    boot: str = ""
    version: int = _VERSION

    @classmethod
    def load(cls, folder: Path) -> Manifest | None:
        """The manifest in a journal's folder, None when there is none.

        Raises:
            ConfigError: It can't be read.
        """
        path = folder / "manifest.json"
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"can't read {path}: {error}; --overwrite starts anew") from error
        if found.version != _VERSION:
            raise ConfigError(
                f"{path} was written by another version of this program; --overwrite starts anew"
            )
        return found

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        temporary = folder / "manifest.new"
        with temporary.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self), indent=2))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / "manifest.json")

    def differences(self, now: Manifest) -> list[str]:
        """What makes ``now`` another run, in words; empty when it is the same one."""
        found = []
        if self.input.digest != now.input.digest:
            found.append(f"input was {_shown(self.input)}, is {_shown(now.input)}")
        before: Mapping[str, Any] = self.identity
        found += [
            f"{name} was {_setting(before.get(name))}, is {_setting(value)}"
            for name, value in now.identity.items()
            if before.get(name) != value
        ]
        return found


def boot_id() -> str:
    """An id of this start of the machine, empty where it can't be known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def journal_folder(output: Path) -> Path:
    """Where the journal of an output lives: beside it."""
    return output.with_name(output.name + ".journal")


@contextlib.contextmanager
def locked(output: Path) -> Iterator[Path]:
    """The output's journal folder, locked for this process; removed again if it stays without manifest.

    Raises:
        ConfigError: Another process holds it, or it can't be made.
    """
    folder = journal_folder(output)
    try:
        folder.mkdir(exist_ok=True)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"can't write {folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 20).decode() or "unknown"
            raise ConfigError(
                f"another run is writing {output} (process {holder}); wait for it or choose another output"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        try:
            yield folder
        finally:
            if not (folder / "manifest.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(fd)


def _shown(survey: Survey) -> str:
    return f"{Path(survey.path).name} ({survey.lines} lines, content {survey.digest[:8]})"


def _setting(value: object) -> str:
    return "not set" if value is None or value == "" or value == {} else f"{value!r:.60}"
