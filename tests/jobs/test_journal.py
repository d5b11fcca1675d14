"""The journal: lines, index, healing, refusal, lock, and full disks."""

import errno
import os
import random
import re
import resource
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncapi.errors import ConfigError
from asyncapi.jobs import journal as journal_module
from asyncapi.jobs import manifest as manifest_module
from asyncapi.jobs.index import Index
from asyncapi.jobs.journal import Journal
from asyncapi.jobs.manifest import Manifest, boot_id, journal_folder, locked
from asyncapi.jobs.reader import Survey
from asyncapi.jobs.results import bad_line, row_of

ROWS = 12


def line_of(row: int, *, failed: bool = False, size: int = 5) -> bytes:
    """A result line."""
    if failed:
        return bad_line(row, f"id-{row}", "x" * size)
    text = "é" * size
    head = f'{{"id":"batch_req_{row + 1}","custom_id":"id-{row}",'
    return f'{head}"response":{{"t":"{text}"}},"error":null}}\n'.encode()


def manifest(lines: int = ROWS, digest: str = "d", **identity: Any) -> Manifest:
    """What an output belongs to."""
    found = Survey(path="in.jsonl", size=1, mtime_ns=1, lines=lines, digest=digest)
    return Manifest(input=found, identity={"model": "a:b"} | identity, boot=boot_id())


def opened(tmp_path: Path, found: Manifest | None = None, **options: Any) -> Journal:
    """The journal of ``out.jsonl``."""
    output = tmp_path / "out.jsonl"
    folder = journal_folder(output)
    folder.mkdir(exist_ok=True)
    return Journal(output, folder, found or manifest(), **options)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A new one."""
    made = opened(tmp_path)
    yield made
    made.close()


def test_knows_what_is_done(journal: Journal, tmp_path: Path) -> None:
    """Answers, failures, deferred rows and the rest."""
    journal.write(3, line_of(3), failed=False)
    journal.write(0, line_of(0, failed=True), failed=True)
    journal.defer(5)

    assert [row for row in range(ROWS) if journal.done(row)] == [0, 3]
    assert [row for row in range(ROWS) if journal.deferred(row)] == [5]
    assert journal.counts == (1, 1)
    assert (tmp_path / "out.jsonl").read_bytes() == line_of(3) + line_of(0, failed=True)


def test_continues_where_it_was(tmp_path: Path) -> None:
    """A deferred row is simply not done."""
    first = opened(tmp_path)
    first.write(3, line_of(3), failed=False)
    first.defer(5)
    first.close()
    second = opened(tmp_path)
    second.write(5, line_of(5), failed=False)

    assert second.counts == (2, 0)
    assert second.notes == []
    second.close()


def test_every_line_is_on_the_disk_before_the_next_one(journal: Journal, tmp_path: Path) -> None:
    """Nothing is buffered: a crash loses nothing that was written."""
    for row in range(5):
        journal.write(row, line_of(row), failed=False)

        assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == row + 1


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nine lines that was killed."""
    folder = tmp_path_factory.mktemp("written")
    journal = opened(folder)
    for row in random.Random(1).sample(range(ROWS), 9):
        journal.write(row, line_of(row, failed=row % 3 == 0, size=row), failed=row % 3 == 0)
    journal.close()
    return folder


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 10_000), lag=st.integers(0, 9), boot=st.booleans(), data=st.data())
def test_heals_an_output_torn_at_any_byte(
    written: Path, tmp_path: Path, cut: int, lag: int, boot: bool, data: st.DataObject
) -> None:
    """Whole lines are kept and known, the torn one is cut, however far the index is behind or ahead."""
    shutil.rmtree(tmp_path)
    shutil.copytree(written, tmp_path)
    output, index = tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal" / "index"
    whole = output.read_bytes()
    cut %= len(whole) + 1
    os.truncate(output, cut)
    kept = whole[:cut].count(b"\n")
    rows = [row_of(line) for line in whole.splitlines(keepends=True)]
    values = bytearray(index.read_bytes())
    for row in rows[len(rows) - lag :]:
        assert row is not None
        values[row * 8 : row * 8 + 8] = bytes(8)
    index.write_bytes(values)
    if not boot:
        index.unlink()
    journal = opened(tmp_path)

    assert {row for row in range(ROWS) if journal.done(row)} == set(rows[:kept])
    assert output.read_bytes() == b"".join(whole.splitlines(keepends=True)[:kept])
    assert sum(journal.counts) == kept
    journal.close()


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        (lambda b: b.replace(b'"id":"batch_req_3"', b'"id":"batch_req_4"', 1), "unreadable or repeated"),
        (lambda b: b[:60] + b"\0" * 9 + b[69:], "unreadable or repeated"),
        (lambda b: b + b, "unreadable or repeated"),
        (lambda b: b + b'{"note": "written by hand"}\n', "unreadable or repeated"),
        (lambda b: b + line_of(ROWS + 5), "unreadable or repeated"),
    ],
)
def test_takes_out_what_is_no_result(tmp_path: Path, damage: Any, note: str) -> None:
    """Repeated lines, foreign lines, zeros after a power loss: the rest is kept, each row once."""
    journal = opened(tmp_path)
    for row in range(6):
        journal.write(row, line_of(row), failed=False)
    journal.close()
    output = tmp_path / "out.jsonl"
    output.write_bytes(damage(output.read_bytes()))
    (tmp_path / "out.jsonl.journal" / "index").unlink()
    journal = opened(tmp_path)
    lines = output.read_bytes().splitlines(keepends=True)
    rows = [row_of(line) for line in lines]

    assert any(note in text for text in journal.notes)
    assert len(rows) == len(set(rows)) >= 5
    assert {row for row in range(ROWS) if journal.done(row)} == set(rows)
    journal.write(7, line_of(7), failed=False)
    assert output.read_bytes() == b"".join(lines) + line_of(7)
    journal.close()
    assert opened(tmp_path).notes == []


def test_an_index_of_another_output_is_not_believed(tmp_path: Path) -> None:
    """Somebody put back an older copy of the output."""
    journal = opened(tmp_path)
    for row in range(4):
        journal.write(row, line_of(row), failed=False)
    journal.close()
    (tmp_path / "out.jsonl").write_bytes(line_of(9, size=50) + line_of(8))
    journal = opened(tmp_path)

    assert [row for row in range(ROWS) if journal.done(row)] == [8, 9]
    assert journal.notes == ["read the index anew from the output"]
    journal.close()


def test_after_a_restart_of_the_machine_the_index_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk had not got yet is lost in any order then."""
    journal = opened(tmp_path)
    journal.write(1, line_of(1), failed=False)
    journal.close()
    monkeypatch.setattr(journal_module, "boot_id", lambda: "another")
    journal = opened(tmp_path)

    assert journal.notes == ["read the index anew from the output"]
    assert journal.counts == (1, 0)
    journal.close()


def test_where_the_boot_is_unknown_nothing_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems than Linux."""
    monkeypatch.setattr(Path, "read_text", lambda _: (_ for _ in ()).throw(OSError))

    assert manifest_module.boot_id() == ""


def test_retrying_takes_the_failed_lines_out(tmp_path: Path) -> None:
    """Each id is in the output once, and its mode stays."""
    journal = opened(tmp_path)
    for row in range(6):
        journal.write(row, line_of(row, failed=row % 2 == 0), failed=row % 2 == 0)
    journal.close()
    (tmp_path / "out.jsonl").chmod(0o600)
    journal = opened(tmp_path, retry_failed=True)

    assert journal.counts == (3, 0)
    assert [row for row in range(ROWS) if journal.done(row)] == [1, 3, 5]
    assert journal.notes == ["took 3 failed lines out of the output to send again"]
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(map(line_of, (1, 3, 5)))
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    journal.close()


@pytest.mark.parametrize("step", ["unlink", "replace", "fsync"])
def test_a_crash_while_failures_are_taken_out_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed before, between and after: the next start finds every answer."""
    journal = opened(tmp_path)
    for row in range(6):
        journal.write(row, line_of(row, failed=row % 2 == 0), failed=row % 2 == 0)
    journal.close()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, killed)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path, retry_failed=True)
    journal = opened(tmp_path)

    assert {1, 3, 5} <= {row for row in range(ROWS) if journal.done(row)}
    assert journal.counts[0] == 3
    journal.close()


def test_nothing_failed_nothing_taken_out(tmp_path: Path) -> None:
    """The output isn't rewritten then."""
    journal = opened(tmp_path)
    journal.write(0, line_of(0), failed=False)
    journal.close()
    before = (tmp_path / "out.jsonl").stat().st_ino
    journal = opened(tmp_path, retry_failed=True)

    assert journal.notes == []
    assert (tmp_path / "out.jsonl").stat().st_ino == before
    journal.close()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (manifest(digest="other"), r"input was in.jsonl \(12 lines, content d\), is in.jsonl"),
        (manifest(model="c:d"), "model was 'a:b', is 'c:d'"),
        (manifest(prompt="{q}"), "prompt was not set, is '{q}'"),
    ],
)
def test_refuses_an_output_of_another_run(tmp_path: Path, other: Manifest, words: str) -> None:
    """And says what differs and what to do."""
    journal = opened(tmp_path)
    journal.write(0, line_of(0), failed=False)
    journal.close()

    with pytest.raises(ConfigError, match=words + ".*--overwrite"):
        opened(tmp_path, other)
    journal = opened(tmp_path, other, overwrite=True)
    assert journal.counts == (0, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    journal.close()


def test_an_empty_output_belongs_to_nobody(tmp_path: Path) -> None:
    """A run that was refused before its first line may be corrected."""
    opened(tmp_path).close()
    journal = opened(tmp_path, manifest(model="c:d"))

    assert journal.counts == (0, 0)
    journal.close()


def test_refuses_an_output_that_it_did_not_write(tmp_path: Path) -> None:
    """It may be somebody's work."""
    (tmp_path / "out.jsonl").write_text("mine\n")

    with pytest.raises(ConfigError, match="has no journal"):
        opened(tmp_path)
    assert (tmp_path / "out.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("content", "words"), [("{", "can't read"), ('{"version": 9}', "can't read"), ("other", "can't read")]
)
def test_refuses_a_journal_that_it_cannot_read(tmp_path: Path, content: str, words: str) -> None:
    """Rather than doing everything twice."""
    opened(tmp_path).close()
    (tmp_path / "out.jsonl").write_bytes(line_of(0))
    (tmp_path / "out.jsonl.journal" / "manifest.json").write_text(content)

    with pytest.raises(ConfigError, match=words):
        opened(tmp_path)


def test_refuses_a_journal_of_another_version(tmp_path: Path) -> None:
    """Its index may mean something else."""
    opened(tmp_path).close()
    path = tmp_path / "out.jsonl.journal" / "manifest.json"
    path.write_text(re.sub(r'"version": 1', '"version": 9', path.read_text()))

    with pytest.raises(ConfigError, match="another version"):
        opened(tmp_path)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """The second one is told who holds the output."""
    output = tmp_path / "out.jsonl"
    with (
        locked(output),
        pytest.raises(ConfigError, match=rf"another run is writing .*process {os.getpid()}"),
        locked(output),
    ):
        pass

    assert not journal_folder(output).exists(), "a folder without manifest is removed"
    with locked(output):
        pass


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    """The folder doesn't exist."""
    with pytest.raises(ConfigError, match="can't write"), locked(tmp_path / "none" / "out.jsonl"):
        pass


def full(*_: object) -> int:
    """A system call on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_output_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when a part of the line fitted."""
    journal = opened(tmp_path)
    journal.write(0, line_of(0), failed=False)
    room, real = [10, 20], os.write

    def filling(fd: int, data: bytes) -> int:
        return real(fd, data[: room.pop()]) if room else full()

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        with pytest.raises(OSError, match="No space"):
            journal.write(1, line_of(1), failed=False)
    assert (tmp_path / "out.jsonl").read_bytes() == line_of(0)
    assert journal.full is not None
    assert not journal.done(1)
    journal.write(2, line_of(2), failed=False)
    journal.close()
    assert opened(tmp_path).counts == (2, 0)


def test_the_reserve_takes_what_is_in_flight(tmp_path: Path) -> None:
    """A real limit: the disk is full, yet the answers that were paid for are written."""
    journal = opened(tmp_path)
    journal.write(0, line_of(0), failed=False)
    reserve = tmp_path / "out.jsonl.journal" / "reserve"
    assert reserve.stat().st_size > 1_000_000
    real, left = os.write, [0]

    def write(fd: int, data: bytes) -> int:
        return full() if reserve.exists() else real(fd, data) + left[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        journal.write(1, line_of(1), failed=False)
    assert journal.full is not None
    assert journal.done(1)
    assert not reserve.exists()
    journal.close()


def test_an_index_that_cannot_be_written_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a gap in it the next run would send a row twice; without it, it reads the output."""
    journal = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        journal.write(0, line_of(0), failed=False)
        journal.defer(5)
    journal.write(1, line_of(1), failed=False)
    journal.close()
    journal = opened(tmp_path)

    assert journal.counts == (2, 0)
    journal.close()


def test_a_disk_without_room_for_the_reserve_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(OSError, match="No space"):
        opened(tmp_path)


def test_a_file_size_limit_is_met_like_a_full_disk(tmp_path: Path) -> None:
    """The operating system's own refusal, in the middle of a line."""
    journal = opened(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        for row in range(3):
            journal.write(row, line_of(row, size=100), failed=False)
        with pytest.raises(OSError, match="File too large"):
            journal.write(3, line_of(3, size=100), failed=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    journal.close()

    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(line_of(r, size=100) for r in range(3))


def test_index_finds_the_line_written_last(tmp_path: Path) -> None:
    """Also when another row's bytes look like it, shifted."""
    index = Index(tmp_path / "index", 70_000)
    assert index.last() is None
    index.set(69_999, 0x0100_00, failed=True)
    index.set(5, 3, failed=False)
    index.defer(6)

    assert index.last() == (69_999, 0x0100_00)
    assert index.counts() == (1, 1)
    with pytest.raises(IndexError):
        index.set(70_000, 1, failed=False)
    index.close()


def test_an_index_of_the_wrong_size_is_made_new(tmp_path: Path) -> None:
    """And none at all for an empty input."""
    path = tmp_path / "index"
    path.write_bytes(b"\1" * 20)
    index = Index(path, 2)
    assert index.counts() == (0, 0)
    index.close()
    empty = Index(path, 0)
    assert empty.last() is None
    assert empty.counts() == (0, 0)
    empty.close()


def test_index_gives_its_file_back_when_it_cannot_be_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file handle is left open."""
    monkeypatch.setattr(os, "ftruncate", full)
    before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    with pytest.raises(OSError, match="No space"):
        Index(tmp_path / "index", 5)
    after = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0

    assert before == after
