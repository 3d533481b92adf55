"""CSV label files: every row counts or is named with its line."""

from pathlib import Path

import pytest

from training.datasets import DatasetError
from training.datasets.labels.annotations import Annotation
from training.datasets.labels.tables import csv_kind, read_csv

BOXES = "file,x_min,y_min,x_max,y_max,label\n"


def read(path: Path, text: str) -> tuple[list[Annotation], list[str]]:
    """Return the annotations and what was reported."""
    path.write_bytes(text.encode())
    faults: list[str] = []
    return read_csv(path, lambda _, fault: faults.append(fault)), faults


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("file,label\n1.png,cat\n", [("line 2", "1.png", "cat")]),
        ("file,label\r\n\r\n\r\n1.png,cat\r\n", [("line 4", "1.png", "cat")]),
        ('file,label\n1.png,"cat, black"\n', [("line 2", "1.png", "cat, black")]),
        ("file,label\n1.png,cat,,\n", [("line 2", "1.png", "cat")]),
        ("file,label\nph\u2028oto.png,cat\n", [("line 2", "ph\u2028oto.png", "cat")]),
        ('file,label\n1.png,12" disc\n2.png,a', [("line 2", "1.png", '12" disc'), ("line 3", "2.png", "a")]),
        ("\nclass\tfile\ncat\t1.png", [("line 3", "1.png", "cat")]),
    ],
)
def test_rows_are_read(tmp_path: Path, text: str, found: list[tuple[str, str, str]]) -> None:
    """Quotes, blank lines, empty fields at the end and odd line separators in names are understood."""
    rows, faults = read(tmp_path / "a.csv", text)
    assert ([(row.where, row.image, row.label) for row in rows], faults) == (found, [])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (BOXES + "1.png,nan,1,2,3,cat", "line 2: x_min, y_min, x_max, y_max must be numbers"),
        (BOXES + "1.png,1,1,-inf,3,cat", "line 2: x_min, y_min, x_max, y_max must be numbers"),
        (BOXES + "1.png,1,1", "line 2: x_min, y_min, x_max, y_max must be numbers"),
        (
            "file,label\n\n1.png,cat, black",
            "line 3 has 3 fields, the header 2: a field that holds the separator needs quotes around it",
        ),
        ("file,label\n1.png", "line 2: the label is empty"),
        ('file,label\n1.png,"a\n2.png,b"', "line 2: the label holds a line break; is a quote not closed?"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, text: str, fault: str) -> None:
    """A row that cannot be what was meant is told with its line, and is not used."""
    assert read(tmp_path / "a.csv", text) == ([], [fault])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('file,label\n1.png,a\n2.png,"b\n3.png,c\n', r"a\.csv, line 3 is no CSV: unexpected end of data"),
        ('file,label\n1.png,"a"b\n', r"a\.csv, line 2 is no CSV"),
        ('file,label\n1.png,"' + "x" * 140_000 + '"', r"a\.csv, line 2 is no CSV: field larger"),
        ("file,label,label\n1.png,a,b\n", r"a\.csv, line 1: the header has label more than once"),
    ],
)
def test_what_is_no_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Where rows run into each other, the error names the line in which that begins."""
    with pytest.raises(DatasetError, match=message):
        read(tmp_path / "a.csv", text)


def test_other_tables_do_not_disturb(tmp_path: Path) -> None:
    """A CSV that is about something else is not read beyond its header."""
    (tmp_path / "a.csv").write_text('date,remark\n1,"open')
    assert csv_kind(tmp_path / "a.csv") == ""
