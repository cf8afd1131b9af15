"""Files as strangers write them: what is understood, what is refused by file, row and column."""

import codecs
import datetime
import decimal
import struct

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from hondo.data import arrays, divide, images, read_targets, table

ROWS = 60
X = np.random.default_rng(0).normal(size=ROWS).round(3)
CITIES = ["Lima", "Quito", "La Paz"]
FRAME = pd.DataFrame(
    {"x": X, "c": [CITIES[n % 3] for n in range(ROWS)], "y": ["no", "yes"] * (ROWS // 2)}
)


def lines(separator: str, decimal_mark: str = ".", space: str = "") -> str:
    rows = [("x", "c", "y"), *zip(FRAME["x"].astype(str), FRAME["c"], FRAME["y"], strict=True)]
    between = separator + space
    return "".join(f"{between.join((x.replace('.', decimal_mark), c, y))}\n" for x, c, y in rows)


TEXTS = {
    "semicolons": lines(";").encode(),
    "semicolons and decimal commas": lines(";", ",").encode(),
    "bars": lines("|").encode(),
    "tabs": lines("\t").encode(),
    "spaces after the commas": lines(",", space=" ").encode(),
    "a mark of the order of bytes": codecs.BOM_UTF8 + lines(",").encode(),
    "sixteen bits": lines(";").encode("utf-16"),
    "lines of Windows": lines(",").replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("suffix", [".csv", ".txt", ".CSV"])
def test_every_dialect_is_the_same_table(tmp_path, name, suffix) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(TEXTS[name])
    got = table(path, "y")
    pd.testing.assert_frame_equal(got.examples, FRAME[["x", "c"]], check_dtype=False)
    assert got.classes == ("no", "yes")


def parquet_of(path, **columns):
    parquet.write_table(pa.table({**columns, "y": list(FRAME["y"])}), path)
    return path


def encoded(path, **options) -> tuple[int, ...]:
    return divide(table(path, "y", **options), valid=0.2, test=0.2, seed=0).dataset.inputs.shape


def test_decimals_are_numbers_and_indices_columns(tmp_path) -> None:
    prices = [decimal.Decimal(n % 9) / 4 for n in range(ROWS)]
    assert encoded(parquet_of(tmp_path / "a.parquet", price=prices)) == (48, 1)
    FRAME.set_index("y").to_parquet(tmp_path / "b.parquet")
    assert encoded(tmp_path / "b.parquet") == (48, 4)
    with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as file:
        content = pa.Table.from_pandas(FRAME)
        with pa.ipc.new_stream(file, content.schema) as writer:
            writer.write_table(content)
    assert encoded(tmp_path / "c.arrow") == (48, 4)


def changed(column: str, row: int, value: object) -> pd.DataFrame:
    frame = FRAME.astype(object)
    frame.loc[row - 1, column] = value
    return frame


# A change of the second of three files, and what is said of it.
BAD_ROWS = {
    "a mark for missing": (changed("x", 5, "?"), r"'x' must be numbers .* '\?' in row 5 of"),
    "text among numbers": (changed("x", 7, "n.a."), "'x' must be numbers .* 'n.a.' in row 7 of"),
    "an infinity": (changed("x", 9, np.inf), "'x' must be finite .* inf in row 9 of"),
    "a wide float": (changed("x", 9, 1e39), "'x' must be finite .* in row 9 of"),
    "no target": (changed("y", 11, None), "'y' must have a value .* in row 11 of"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_value_is_refused_by_file_row_and_column(tmp_path, name, stream) -> None:
    frame, message = BAD_ROWS[name]
    for place, each in enumerate((FRAME, frame, FRAME)):
        each.to_csv(tmp_path / f"{place}.csv", index=False)
    with pytest.raises(ValueError, match=message + r" .*1\.csv"):
        table(tmp_path / "*.csv", "y", stream=stream)


def test_text_among_numbers_is_taken_where_it_is_kept(tmp_path) -> None:
    frame = FRAME.assign(x=[("1", "2", "3+")[n % 3] for n in range(ROWS)])
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"'3\+' in row 3 .* --keep x"):
        table(tmp_path / "a.csv", "y")
    assert encoded(tmp_path / "a.csv", keep=["x"]) == (48, 6)
    with pytest.raises(ValueError, match=r"target 'x' .* --task classification"):
        table(tmp_path / "a.csv", "x")
    assert table(tmp_path / "a.csv", "x", task="classification").classes == ("1", "2", "3+")


DAYS = [f"2026-01-{n % 20 + 1:02d}" for n in range(ROWS)]
COLUMNS = {
    "dates as text": (DAYS, "'bad' must be numbers or categories, got dates"),
    "days": ([datetime.date.fromisoformat(day) for day in DAYS], "got dates"),
    "lists": ([[1.0, float(n)] for n in range(ROWS)], "got a ndarray in row 1 of .*a.parquet"),
    "records": ([{"a": n} for n in range(ROWS)], "got a dict in row 1 of .*a.parquet"),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_column_of_another_kind_is_refused_by_name(tmp_path, name, stream) -> None:
    values, message = COLUMNS[name]
    path = parquet_of(tmp_path / "a.parquet", bad=pa.array(values), x=X)
    with pytest.raises(ValueError, match=message):
        table(path, "y", stream=stream)
    assert len(table(path, "y", stream=stream, drop=["bad"]).examples) == ROWS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,x,y\n1,2,a\n", r"must name each column once, got \['x'\]"),
        (b"x,y\n1,a,\n2,b,\n", "must have a name for each column"),
        (b"# made by a program\n" + lines(",").encode(), "must have a name for each column"),
        ("x,y\n1,é\n".encode("latin-1"), "Save it as UTF-8"),
    ],
)
def test_a_heading_that_does_not_fit_is_refused_by_file(tmp_path, content, message) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as refusal:
        table(tmp_path / "a.csv", "y")
    assert "a.csv" in str(refusal.value)


def test_a_name_that_a_shell_would_split_is_quoted(tmp_path) -> None:
    FRAME.to_csv(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="--drop 'Unnamed: 0'"):
        encoded(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([0.0, 1.0, 1.0], "binary", ("0", "1")),
        ([0.0, 0.5, 0.5], "regression", ()),
        ([0.0, 1.0, 2.0], "regression", ()),
        ([b"a", b"b", b"a"], "binary", ("a", "b")),
    ],
)
def test_what_targets_are_does_not_hang_on_how_they_are_written(values, task, classes) -> None:
    found = read_targets("y", values)
    assert (found.task, found.classes) == (task, classes)


def test_classes_that_were_saved_as_floats_have_plain_names() -> None:
    found = read_targets("y", np.array([2.0, 0.0, 1.0]), "classification")
    assert found.classes == ("0", "1", "2")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_none_is_refused_by_its_own_row(bad) -> None:
    x, y = np.ones((9, 2)), np.arange(9) % 2
    x[4, 1] = bad
    with pytest.raises(ValueError, match=rf"inputs must be finite .* {bad} in row 5, at \(1,\)"):
        arrays(x, y)
    with pytest.raises(ValueError, match=f"targets must be finite numbers, got {bad} in row 5"):
        arrays(np.ones((9, 2)), x[:, 1])


def test_numbers_that_float32_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match=r"float32's range, got 1e\+300 in row 2"):
        arrays(np.array([[0.0], [1e300]]), np.arange(2))


def test_channels_that_come_first_are_refused() -> None:
    with pytest.raises(ValueError, match=r"moveaxis\(x, 1, -1\)"):
        arrays(np.zeros((4, 3, 6, 6), np.uint8), np.arange(4) % 2)
    assert arrays(np.zeros((4, 6, 6, 3), np.uint8), np.arange(4) % 2).task == "binary"


def paint(folder, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), len(name)).save(path, "PNG")


def test_what_archives_leave_behind_is_no_image(tmp_path) -> None:
    paint(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    for name in ("a/._1.png", "__MACOSX/._2.png", "notes/readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    raw = images(tmp_path)
    assert (raw.classes, len(raw.examples)) == (("a", "b"), 4)
    assert [raw.name_of(place) for place in (0, 3)] == ["a/1.png", "b/2.png"]


def test_parts_are_known_by_any_case_and_never_taken_for_classes(tmp_path) -> None:
    paint(tmp_path, *(f"{part}/{c}/1.png" for part in ("Train", "TEST") for c in "ab"))
    raw = images(tmp_path)
    assert raw.classes == ("a", "b")
    assert raw.test is not None
    assert len(raw.test.targets) == 2
    paint(tmp_path, "more/a/1.png")
    with pytest.raises(ValueError, match=r"got Train and \['more'\]"):
        images(tmp_path)


def test_a_class_that_training_lacks_is_refused(tmp_path) -> None:
    paint(tmp_path, "train/a/1.png", "train/b/1.png", "test/c/1.png")
    with pytest.raises(ValueError, match=r"test must .* the classes \['a', 'b'\], got \['c'\]"):
        images(tmp_path)


def test_a_file_of_idx_is_known_by_its_content(tmp_path) -> None:
    x = np.arange(4 * 6, dtype=np.uint8).reshape(4, 3, 2)
    header = struct.pack(">4B3i", 0, 0, 8, 3, 4, 3, 2)
    (tmp_path / "pictures").write_bytes(header + x.tobytes())
    np.testing.assert_array_equal(arrays(tmp_path / "pictures", np.arange(4) % 2).examples, x)
