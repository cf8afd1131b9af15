"""Data that is read when it is asked for is the data that is read at once."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hondo
from hondo.cli import build
from hondo.data import Divided, arrays, divide, images, records, table
from hondo.data.moments import merge_moments, moments
from hondo.data.packing import pack
from hondo.data.views import LazyInputs, Pairs, View
from hondo.training.streaming.source import open_source

PARTS = {"valid": 0.2, "test": 0.2, "seed": 3}


def same(lazy: Divided, whole: Divided, rtol: float = 0.0) -> None:
    """The same parts, whatever is asked for and in whatever order."""
    assert lazy.dataset.classes == whole.dataset.classes
    pairs = zip(
        (*lazy.parts, (lazy.dataset.test_inputs, lazy.dataset.test_targets)),
        (*whole.parts, (whole.dataset.test_inputs, whole.dataset.test_targets)),
        strict=True,
    )
    for (inputs, targets), (expected, numbers) in pairs:
        assert isinstance(inputs, LazyInputs)
        assert inputs.shape == expected.shape
        np.testing.assert_array_equal(targets, numbers)
        np.testing.assert_allclose(inputs[:], expected, rtol=rtol, atol=rtol)
        order = np.random.default_rng(0).permutation(len(inputs))[:5]
        read, _ = Pairs(inputs, targets).read_batch(order)
        np.testing.assert_allclose(read, expected[order], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(inputs[2], expected[2], rtol=rtol, atol=rtol)


def people(rows: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40.0, 10.0, rows),
            "city": np.array(["Lima", "Quito", None], object)[np.arange(rows) % 3],
            "same": 7,
            "left": np.where(np.arange(rows) % 4 == 0, "yes", "no"),
        }
    )
    frame.loc[::7, "age"] = np.nan
    return frame


@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather"])
@pytest.mark.parametrize("files", [1, 3])
def test_a_table_that_is_streamed_is_the_same(tmp_path, suffix, files) -> None:
    for place, rows in enumerate(np.array_split(np.arange(90), files)):
        block, path = people().iloc[rows].reset_index(drop=True), tmp_path / f"{place}.{suffix}"
        block.to_csv(path, index=False) if suffix == "csv" else getattr(block, f"to_{suffix}")(path)
    pattern = tmp_path / f"*.{suffix}"
    lazy = divide(table(pattern, "left", stream=True), **PARTS)
    whole = divide(table(pattern, "left"), **PARTS)
    # Sums of several blocks may round otherwise.
    same(lazy, whole, rtol=0.0 if files == 1 else 1e-6)
    packed = pack(lazy, tmp_path / "rows.npy")
    same(packed, whole, rtol=0.0 if files == 1 else 1e-6)
    assert packed.dataset.encoder == lazy.dataset.encoder
    # The rows are read from this file from now on.
    for path in tmp_path.glob(f"*.{suffix}"):
        path.unlink()
    same(pack(lazy, tmp_path / "rows.npy"), whole, rtol=0.0 if files == 1 else 1e-6)


def test_rows_are_named_by_their_file(tmp_path) -> None:
    for place in range(2):
        people().to_csv(tmp_path / f"{place}.csv", index=False)
    assert table(tmp_path / "0.csv", "left").name_of(4) == "5"
    for stream in (False, True):
        name_of = table(tmp_path / "*.csv", "left", stream=stream).name_of
        assert [name_of(place) for place in (89, 90)] == [
            f"{tmp_path}/0.csv: 90",
            f"{tmp_path}/1.csv: 1",
        ]


def test_text_in_one_file_and_numbers_in_another_is_refused(tmp_path) -> None:
    people().assign(age="old").to_csv(tmp_path / "0.csv", index=False)
    people().to_csv(tmp_path / "1.csv", index=False)
    with pytest.raises(ValueError, match="column 'age' must be numbers or text in all rows"):
        divide(table(tmp_path / "*.csv", "left", stream=True), **PARTS)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_array_that_is_streamed_stays_in_its_file(tmp_path, dtype) -> None:
    x = (np.random.default_rng(0).normal(size=(50, 4, 3)) * 20 + 100).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    y = np.arange(50) % 3
    raw = arrays(tmp_path / "x.npy", y, stream=True)
    assert isinstance(raw.examples, View)
    assert isinstance(raw.examples.store.array, np.memmap)
    lazy = divide(raw, **PARTS)
    same(lazy, divide(arrays(x, y), **PARTS))
    assert pack(lazy, tmp_path / "none.npy") is lazy
    assert not (tmp_path / "none.npy").exists()


def test_moments_of_many_blocks_are_those_of_all() -> None:
    x = np.random.default_rng(0).normal(1e6, 1.0, (4096 * 2 + 5, 2)).astype(np.float32)
    found = moments(np.zeros((0, 2)))
    for first in range(0, len(x), 1000):
        found = merge_moments(found, moments(x[first : first + 1000]))
    np.testing.assert_allclose(found.mean, x.astype(float).mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.std, x.astype(float).std(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(found.high, x.max(axis=0))


def test_images_that_are_streamed_are_the_same_and_read_late(tmp_path) -> None:
    for name, value in (("cat", 10), ("dog", 200)):
        for n in range(10):
            path = tmp_path / name / f"{n}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("L", (4, 3), value + n).save(path)
    lazy = divide(images(tmp_path, stream=True), **PARTS)
    same(lazy, divide(images(tmp_path), **PARTS))
    broken = tmp_path / "dog" / "1.png"
    broken.write_bytes(broken.read_bytes()[:45])
    raw = images(tmp_path, stream=True)
    with pytest.raises(ValueError, match=r"dog/1\.png must be a whole image"):
        raw.examples[:]


def write_records(path, *contents: bytes) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1")
    for content in contents:
        writer.write(content)
    writer.close()


def test_records_are_read_by_their_place(tmp_path) -> None:
    write_records(tmp_path / "0.array_record", b"10", b"11")
    write_records(tmp_path / "1.array_record", b"12", b"x")
    read = records(tmp_path / "*.array_record", lambda content: np.float32(int(content)))
    assert len(read) == 4
    assert [float(read[place]) for place in (2, 0, 1)] == [12.0, 10.0, 11.0]
    with pytest.raises(
        ValueError, match=r"record 3 of .*0\.array_record.* got 1 bytes: invalid lit"
    ):
        read[3]
    batch = open_source("train", read).read(np.array([1, 0]))
    np.testing.assert_array_equal(batch, [11.0, 10.0])


@pytest.mark.parametrize("content", [b"", b"no record", bytes(2**17)])
def test_a_file_without_records_is_refused_by_name(tmp_path, content) -> None:
    path = tmp_path / "a.array_record"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.array_record must"):
        records(path, bytes)
    write_records(tmp_path / "b.array_record")
    with pytest.raises(ValueError, match=r"b\.array_record must have at least one record"):
        records(tmp_path / "b.array_record", bytes)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        records(tmp_path / "nowhere", bytes)


def test_streamed_classes_are_balanced_as_those_in_memory_are() -> None:
    targets = np.array([0, 0, 2, 2, 2, 2], np.int32)
    weights = np.array(build.balanced_by_class(targets, 4), np.float32)
    np.testing.assert_allclose(
        weights[targets], hondo.balanced_weights(jnp.asarray(targets)), rtol=1e-6
    )
    np.testing.assert_array_equal(weights[[1, 3]], [0.0, 0.0])


def test_batches_of_pairs_are_of_one_size() -> None:
    pairs = Pairs(np.arange(10.0).reshape(5, 2), np.arange(5))
    got = [targets.tolist() for _, targets in pairs.batches(3)]
    assert got == [[0, 1, 2], [3, 4, 4]]
    assert [len(targets) for _, targets in pairs.batches(512)] == [5]
