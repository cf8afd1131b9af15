"""Tables, images and arrays of the user's own: what is read, what is refused, what may not leak."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hondo.data import Dataset, Encoder, arrays, divide, images, read_targets, table
from hondo.data.columns import TableEncoding, check_columns, fit_encoding

RNG = np.random.default_rng(0)


def people(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age": rng.normal(40.0, 10.0, rows),
            "city": np.array(["Lima", "Quito", "Bogotá"])[np.arange(rows) % 3],
            "member": np.arange(rows) % 5 < 2,
            "left": np.where(np.arange(rows) % 4 == 0, "yes", "no"),
        }
    )


WRITERS = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "a.feather": lambda frame, path: frame.to_feather(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_arrays(tmp_path, name) -> None:
    frame = people()
    WRITERS[name](frame, tmp_path / name)
    got, _ = divide(table(tmp_path / name, "left"), valid=0.2, test=0.2, seed=0)
    frame.to_csv(tmp_path / "b.csv", index=False)
    want, _ = divide(table(tmp_path / "b.csv", "left"), valid=0.2, test=0.2, seed=0)
    assert (got.task, got.classes) == ("binary", ("no", "yes"))
    # A number, three cities, and the two levels of a boolean.
    assert got.inputs.shape[1:] == (6,)
    for field in ("inputs", "targets", "test_inputs", "test_targets"):
        np.testing.assert_array_equal(getattr(got, field), getattr(want, field))


def test_files_that_match_a_pattern_are_one_table(tmp_path) -> None:
    frame = people()
    for part in range(3):
        frame.iloc[part * 20 : part * 20 + 20].to_csv(tmp_path / f"{part}.csv", index=False)
    assert len(table(tmp_path / "*.csv", "left").targets) == 60
    frame.drop(columns="age").to_csv(tmp_path / "3.csv", index=False)
    with pytest.raises(ValueError, match=r"3\.csv must have the columns of .*0\.csv"):
        table(tmp_path / "*.csv", "left")


def test_what_is_fitted_does_not_know_the_other_parts() -> None:
    x = RNG.normal(size=(60, 1))
    raw = arrays(x, np.arange(60) % 2)
    before, parts = divide(raw, valid=0.2, test=0.2, seed=3)
    trained = np.isin(encoder(before).encode(x), parts.train[0])
    assert trained.sum() == 38
    # What is not in the training part becomes a thousand times as large.
    far = raw._replace(examples=np.where(trained, x, 1000.0 * x))
    after, again = divide(far, valid=0.2, test=0.2, seed=3)
    np.testing.assert_array_equal(parts.train[0], again.train[0])
    np.testing.assert_array_equal(encoder(before).encode(x), encoder(after).encode(x))


def encoder(dataset: Dataset) -> Encoder:
    assert dataset.encoder is not None
    return dataset.encoder


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    valid=st.floats(0.05, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_class_is_divided_by_itself(counts, valid, seed) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    raw = arrays(np.arange(len(targets) * 2.0).reshape(-1, 2), targets, task="classification")
    cut = sum(round(count * 0.2) for count in counts)
    rest = [count - round(count * 0.2) for count in counts]
    held = [round(count * valid) for count in rest]
    if not (cut and sum(held) and sum(rest) - sum(held)):
        with pytest.raises(ValueError, match="must leave examples on both sides"):
            divide(raw, valid=valid, test=0.2, seed=seed)
        return
    dataset, parts = divide(raw, valid=valid, test=0.2, seed=seed)
    assert np.bincount(parts.valid[1], minlength=len(counts)).tolist() == held
    assert len(dataset.test_targets) == cut
    seen = [*parts.train[0][:, 0], *parts.valid[0][:, 0], *dataset.test_inputs[:, 0]]
    assert len(set(seen)) == len(targets)


def test_the_test_part_does_not_depend_on_the_seed() -> None:
    raw = arrays(RNG.normal(size=(50, 3)), np.arange(50) % 2)
    one, _ = divide(raw, valid=0.2, test=0.2, seed=0)
    two, _ = divide(raw, valid=0.2, test=0.2, seed=1)
    np.testing.assert_array_equal(one.test_targets, two.test_targets)


def test_numbers_and_levels_and_what_is_missing() -> None:
    train = pd.DataFrame({"x": [1.0, 3.0, np.nan, 1.0, 3.0], "c": ["a", "b", None, "a", "b"]})
    encoding = fit_encoding([train])
    got = encoding.encode(pd.DataFrame({"c": ["b", None, "new"], "x": [2.0, np.nan, 5.0]}))
    # x, x is missing, c is a, c is b, c is missing; the columns may come in another order.
    np.testing.assert_array_equal(got, [[0, 0, 0, 1, 0], [0, 1, 0, 0, 1], [3, 0, 0, 0, 0]])
    assert encoding.unseen(pd.DataFrame({"c": ["b", "new", "new"]})) == ["c='new' (row 2)"]


def test_constant_columns_are_left_out_by_name() -> None:
    encoding = fit_encoding([pd.DataFrame({"x": [1.0, 2.0], "same": [7, 7]})])
    assert encoding.dropped == ("same",)
    assert encoding.shape == (1,)


def fit_table(frame: pd.DataFrame) -> TableEncoding:
    """As `table` looks at it."""
    check_columns(frame)
    return fit_encoding([frame])


MISTAKES = {
    "an identifier": ({"id": [f"u{n}" for n in range(9)]}, "'id' has another value in each of 9"),
    "a number of rows": ({"id": list(range(9))}, "--drop id, or take it as it is with --keep id"),
    "dates": ({"day": pd.date_range("2026-01-01", periods=9)}, "'day' must be numbers or cat"),
    "levels": ({"c": [f"l{n}" for n in range(65)] * 2}, "at most 64 levels, got more"),
    "an infinity": ({"x": [0.0, 1.0, np.inf]}, "'x' must be finite .* got inf in row 3"),
    "nothing that varies": ({"x": [1.0, 1.0]}, "must have a column that varies"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_column_that_cannot_be_an_input_is_refused_by_name(name) -> None:
    columns, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message):
        fit_table(pd.DataFrame(columns))


def test_an_identifier_is_taken_where_it_is_kept() -> None:
    assert fit_encoding([pd.DataFrame({"id": range(9)})], keep=("id",)).shape == (1,)


def test_text_among_new_numbers_is_refused_by_row() -> None:
    encoding = fit_encoding([pd.DataFrame({"x": [1.0, 2.0]})])
    with pytest.raises(ValueError, match="'x' must be numbers, got 'many' in row 2"):
        encoding.encode(pd.DataFrame({"x": [1.0, "many"]}))
    with pytest.raises(ValueError, match=r"got none named \['x'\]"):
        encoding.encode(pd.DataFrame({"y": [1.0]}))


TARGETS = {
    "names": (["b", "a", "c"], "classification", ("a", "b", "c")),
    "two integers": ([7, 3, 7], "binary", ("3", "7")),
    "booleans": ([True, False], "binary", ("False", "True")),
    "fractions": ([0.5, 1.0], "regression", ()),
    "integers": ([0, 1, 2], "classification", ("0", "1", "2")),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_task_is_found(name) -> None:
    values, task, classes = TARGETS[name]
    found = read_targets("y", values)
    assert (found.task, found.classes) == (task, classes)


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a", "a"], None, "y must have two classes or more"),
        (list(range(100)), None, "--task classification or --task regression"),
        (["a", "b"], "regression", "y must be numbers for a regression, got 'a'"),
        ([1, 2, 3], "binary", "two classes for a binary task, got 3"),
        ([[1], [2]], None, "one target an example"),
    ],
)
def test_wrong_targets_are_refused(values, task, message) -> None:
    with pytest.raises(ValueError, match=message):
        read_targets("y", values, task)


def test_a_missing_target_is_refused_by_row(tmp_path) -> None:
    frame = people()
    frame.loc[[4, 9], "left"] = None
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"'left' must have .* in row 5 of .*a\.csv, and 2 in all"):
        table(tmp_path / "a.csv", "left")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "must be a .csv table"),
        ("a.csv", b"x,y\n", "at least one row"),
        ("a.csv", b"\xff\xfe\x00", "must be a .csv table"),
        ("a.parquet", b"PAR1 but no more", "must be a .parquet table"),
        ("a.csv.gz", gzip.compress(b"x,y\n1,2\n", mtime=0)[:-9], "must be a .csv table"),
        ("a.xlsx", b"", "the table must be one of"),
    ],
)
def test_a_damaged_table_is_refused_by_file(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as refusal:
        table(tmp_path / name, "y")
    assert name in str(refusal.value)


def test_options_name_columns_that_exist(tmp_path) -> None:
    people().to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="target must be a column of"):
        table(tmp_path / "a.csv", "stayed")
    with pytest.raises(ValueError, match="drop must be a column of"):
        table(tmp_path / "a.csv", "left", drop=["nothing"])
    raw = table(tmp_path / "a.csv", "left", drop=["city"])
    assert list(raw.examples.columns) == ["age", "member"]


def paint(path, value, size=(6, 4), mode="L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def test_a_folder_of_classes_is_a_data_set(tmp_path) -> None:
    for name, value in (("cat", 10), ("dog", 200), ("cow", 100)):
        for n in range(5):
            paint(tmp_path / name / f"{n}.png", value + n)
    dataset, parts = divide(images(tmp_path), valid=0.2, test=0.2, seed=0)
    assert dataset.classes == ("cat", "cow", "dog")
    assert dataset.inputs.shape == (12, 4, 6, 1)
    for inputs, target in zip(*parts.train, strict=True):
        assert int(inputs[0, 0, 0] * 255) // 50 == {0: 0, 1: 2, 2: 4}[int(target)]


def test_parts_that_the_folder_has_stay_as_they_are(tmp_path) -> None:
    for part, count in (("train", 6), ("val", 2), ("test", 3)):
        for name, value in (("a", 0), ("b", 255)):
            for n in range(count):
                paint(tmp_path / part / name / f"{n}.jpg", value)
    dataset, parts = divide(images(tmp_path), valid=0.5, test=0.5, seed=0)
    assert [len(parts.train[0]), len(parts.valid[0]), len(dataset.test_inputs)] == [12, 4, 6]


def test_sizes_colors_and_depths(tmp_path) -> None:
    for n in range(4):
        paint(tmp_path / "a" / f"{n}.png", (255, 0, 0), (8, 8), "RGB")
        paint(tmp_path / "b" / f"{n}.png", 50, (9, 7))
    with pytest.raises(ValueError, match=r"one size, got 8×8 in .*0\.png and 9×7 .* --size 64"):
        images(tmp_path)
    raw = images(tmp_path, size=5)
    assert raw.examples.shape == (8, 5, 5, 3)
    np.testing.assert_array_equal(raw.examples[0, 0, 0], [255, 0, 0])


def test_sixteen_bits_keep_their_upper_eight(tmp_path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((2, 2), 0x80FF, np.uint16)).save(tmp_path / name / "0.png")
    np.testing.assert_array_equal(images(tmp_path).examples, np.full((2, 2, 2, 1), 0x80))


def test_a_turned_photograph_stands_upright(tmp_path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in "ab":
        paint(tmp_path / name / "0.png", 9, (4, 6))
        Image.new("L", (6, 4), 9).save(tmp_path / name / "1.jpg", exif=turned)
    assert images(tmp_path).examples.shape == (4, 6, 4, 1)


def test_a_broken_image_is_refused_by_file(tmp_path) -> None:
    for name in "ab":
        for n in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            noise = RNG.integers(0, 256, (64, 64), np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{n}.png")
    file = tmp_path / "b" / "1.png"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"b/1\.png must be a whole image"):
        images(tmp_path)
    file.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b/1\.png must be a whole image"):
        images(tmp_path)


def test_a_folder_without_classes_is_refused(tmp_path) -> None:
    paint(tmp_path / "0.png", 1)
    with pytest.raises(ValueError, match="two or more classes, got none"):
        images(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        images(tmp_path / "nowhere")


def test_arrays_come_from_files_too(tmp_path) -> None:
    x, y = RNG.normal(size=(30, 4)), np.arange(30) % 3
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    here, _ = divide(arrays(x, y), valid=0.2, test=0.2, seed=0)
    there, _ = divide(
        arrays(tmp_path / "x.npy", str(tmp_path / "y.npy")), valid=0.2, test=0.2, seed=0
    )
    np.testing.assert_array_equal(here.inputs, there.inputs)


def test_bytes_are_pixels_and_a_channel_may_be_left_out() -> None:
    x = np.full((10, 4, 4), 255, np.uint8)
    x[::2] = 0
    dataset, _ = divide(arrays(x, np.arange(10) % 2), valid=0.25, test=0.25, seed=0)
    assert dataset.inputs.shape[1:] == (4, 4, 1)
    assert set(np.unique(dataset.inputs)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.zeros((3, 2)), np.zeros(2), "one for each of 3 inputs, got 2"),
        (np.zeros(3), np.zeros(3), "inputs must be of shape"),
        (np.array([["a"], ["b"]]), np.zeros(2), "inputs must be real numbers"),
        ("nowhere.npy", np.zeros(2), "does not exist"),
    ],
)
def test_wrong_arrays_are_refused(inputs, targets, message) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        arrays(inputs, targets)


def test_an_input_that_is_not_finite_is_refused_by_row() -> None:
    x = RNG.normal(size=(30, 2))
    dataset, _ = divide(arrays(x, np.arange(30) % 2), valid=0.2, test=0.2, seed=0)
    x[4, 1] = np.nan
    with pytest.raises(ValueError, match="got nan in row 5, at \\(1,\\)"):
        encoder(dataset).encode(x)
    with pytest.raises(ValueError, match=r"of shape \(n, 2\), got float64 of shape \(30, 1\)"):
        encoder(dataset).encode(x[:, :1])
