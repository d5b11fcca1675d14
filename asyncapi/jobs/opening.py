"""What a run checks and opens before it sends anything."""

from __future__ import annotations

import itertools
from pathlib import Path

from asyncapi.errors import ConfigError
from asyncapi.jobs.items import ItemBuilder
from asyncapi.jobs.journal import Journal
from asyncapi.jobs.manifest import Manifest
from asyncapi.jobs.reader import LineError, Source, Survey, open_source, spool, survey
from asyncapi.jobs.settings import RunSettings
from asyncapi.jobs.stop import Stop

__all__ = ["checked_output", "opened_input", "opened_journal"]

_SAMPLE = 20


def checked_output(settings: RunSettings) -> Path:
    """The output's path, after a look at both paths.

    Raises:
        ConfigError: One of them can't be used.
    """
    output = Path(settings.output).resolve()
    if settings.input != "-":
        path = Path(settings.input)
        if not path.exists():
            raise ConfigError(f"no such file: {path}")
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; give a JSONL or CSV file, or - for standard input")
        if path.resolve() == output:
            raise ConfigError(f"input and output are the same file: {path}")
    if not output.parent.is_dir():
        raise ConfigError(f"no such folder: {output.parent}")
    if output.exists() and not output.is_file():
        raise ConfigError(f"{output} is no regular file: a run needs one to continue from")
    return output


def opened_input(
    settings: RunSettings, folder: Path, builder: ItemBuilder, stop: Stop
) -> tuple[Source, Survey]:
    """The input, counted and recognised; standard input as a copy in the journal.

    Raises:
        ConfigError: It can't be read, or none of its first lines can be sent.
        InterruptedError: The run was asked to stop meanwhile.
    """
    path = Path(settings.input)
    if settings.input == "-":
        path = folder / "input"
        spool(path, cancelled=lambda: stop.requested > 0)
    found = survey(path, known=_known(folder), cancelled=lambda: stop.requested > 0)
    source = open_source(path, settings.format)
    problems = []
    for row in itertools.islice(source, _SAMPLE):
        try:
            builder.build(row, source)
        except LineError as error:
            problems.append(f"line {row.line}: {error}")
        else:
            break
    else:
        if problems:
            some = f"none of the first {len(problems)} lines can be sent; " if len(problems) > 1 else ""
            raise ConfigError(f"{settings.input}: {some}{problems[0]}")
    return source, found


def _known(folder: Path) -> Survey | None:
    try:
        before = Manifest.load(folder)
    except ConfigError:
        return None
    return before.input if before else None


def opened_journal(output: Path, folder: Path, manifest: Manifest, settings: RunSettings) -> Journal:
    """The journal, healed.

    Raises:
        ConfigError: The output belongs to another run, or can't be written.
    """
    try:
        return Journal(
            output, folder, manifest, overwrite=settings.overwrite, retry_failed=settings.retry_failed
        )
    except OSError as error:
        raise ConfigError(
            f"can't write {output}: {error.strerror}; nothing was sent, and what is in it is safe"
        ) from error
