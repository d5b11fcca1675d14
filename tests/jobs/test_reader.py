"""Rows of JSONL and CSV files, plain and gzipped, and the survey before them."""

import gzip
import io
from pathlib import Path

import pytest

from asyncapi.errors import ConfigError
from asyncapi.jobs.reader import LineError, open_source, spool, survey


def rows(path: Path, form: str = "auto") -> list[tuple[int, int, object]]:
    """Index, line and object (or the error's text) of every row."""
    source = open_source(path, form)
    found: list[tuple[int, int, object]] = []
    for row in source:
        try:
            found.append((row.index, row.line, source.fields(row)))
        except LineError as error:
            found.append((row.index, row.line, str(error)))
    return found


def test_jsonl_skips_blank_lines_and_keeps_line_numbers(tmp_path: Path) -> None:
    """The number of a row is its line in an editor."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\n\n  \r\n{"a":2}\r\n{"a":3}')

    assert rows(path) == [(0, 1, {"a": 1}), (1, 4, {"a": 2}), (2, 5, {"a": 3})]
    assert survey(path).lines == 5


def test_jsonl_says_what_is_no_object(tmp_path: Path) -> None:
    """Not JSON, and JSON that is no object."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":\n[1]\n\xff\xfe\n{"a":1}\n')
    found = rows(path)

    assert str(found[0][2]).startswith("not JSON: ")
    assert found[1][2] == "expected a JSON object, got b'[1]'"
    assert str(found[2][2]).startswith("not JSON: ")
    assert found[3][2] == {"a": 1}


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl", "a.csv.gz"])
def test_gzip_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    """Whatever the file is called."""
    path = tmp_path / name
    content = b"a,b\n1,2\n" if "csv" in name else b'{"a":"1","b":"2"}\n'
    path.write_bytes(gzip.compress(content))

    assert [row[2] for row in rows(path)] == [{"a": "1", "b": "2"}]
    assert survey(path).lines == content.count(b"\n")


def test_csv_rows_may_span_lines(tmp_path: Path) -> None:
    """The line of a row is where it starts."""
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"two\nlines, ""quoted"""\n\n2,plain\n', encoding="utf-8-sig")

    assert rows(path) == [
        (0, 2, {"id": "1", "text": 'two\nlines, "quoted"'}),
        (1, 5, {"id": "2", "text": "plain"}),
    ]


def test_csv_says_what_is_wrong_with_a_row(tmp_path: Path) -> None:
    """Columns that don't fit, bytes that are no UTF-8."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1\n1,2,3\n\xff,2\n")

    assert [row[2] for row in rows(path)] == [
        "1 columns, but the header has 2",
        "3 columns, but the header has 2",
        "not UTF-8",
    ]


def test_csv_takes_fields_longer_than_its_module_does(tmp_path: Path) -> None:
    """128 KiB is the csv module's default limit; prompts are longer."""
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "x" * 300_000 + "\n")

    [(_, _, fields)] = rows(path)

    assert isinstance(fields, dict)
    assert len(fields["text"]) == 300_000


def test_an_empty_csv_has_no_rows(tmp_path: Path) -> None:
    """Not even a header."""
    path = tmp_path / "a.csv"
    path.write_text("")

    assert rows(path) == []
    assert survey(path).lines == 0


def test_survey_bounds_the_rows_of_old_mac_line_ends(tmp_path: Path) -> None:
    """The index is sized by it: too few lines would lose rows."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\r1\r2\r3")

    assert len(rows(path)) == 3
    assert survey(path).lines >= 3


def test_the_form_can_be_told(tmp_path: Path) -> None:
    """When the name doesn't say."""
    path = tmp_path / "data.txt"
    path.write_text("a,b\n1,2\n")

    assert [row[2] for row in rows(path, "csv")] == [{"a": "1", "b": "2"}]


def test_survey_knows_content_not_names(tmp_path: Path) -> None:
    """A renamed or compressed file is the same input; one more byte makes another."""
    a, b, c = tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "c.jsonl.gz"
    a.write_bytes(b'{"a":1}\n')
    b.write_bytes(b'{"a":1}\n{"a":2}\n')
    c.write_bytes(gzip.compress(b'{"a":1}\n'))

    assert survey(a).digest == survey(c).digest != survey(b).digest


def test_survey_reads_an_unchanged_file_once(tmp_path: Path) -> None:
    """A resumed run of a big file starts at once."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n')
    known = survey(path)

    assert survey(path, known=known) is known
    path.write_bytes(b'{"a":12}\n')
    assert survey(path, known=known) != known


def test_survey_reports_what_it_cannot_read(tmp_path: Path) -> None:
    """A missing file and a damaged one."""
    damaged = tmp_path / "a.jsonl.gz"
    damaged.write_bytes(gzip.compress(b'{"a":1}\n' * 1000)[:40])

    with pytest.raises(ConfigError, match=r"can't read .*No such file"):
        survey(tmp_path / "none")
    with pytest.raises(ConfigError, match="damaged gzip"):
        survey(damaged)


def test_survey_and_spool_can_be_stopped(tmp_path: Path) -> None:
    """Ctrl-C while a large input is read."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n')

    with pytest.raises(InterruptedError):
        survey(path, cancelled=lambda: True)
    with pytest.raises(InterruptedError):
        spool(tmp_path / "copy", io.BytesIO(b"x"), cancelled=lambda: True)


def test_spool_copies_a_stream(tmp_path: Path) -> None:
    """Standard input becomes a file that can be read twice."""
    spool(tmp_path / "copy", io.BytesIO(b"x" * 3_000_000))

    assert (tmp_path / "copy").stat().st_size == 3_000_000
    with pytest.raises(ConfigError, match="can't copy standard input"):
        spool(tmp_path / "none" / "copy", io.BytesIO(b"x"))
