"""Data and folders as strangers have them: shards, marks of thousands, hidden files, brackets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hondo
from hondo.cli import build
from hondo.cli.command import _check_values
from hondo.data import images, table
from hondo.training.progress_bar import open_bar

pandas = pytest.importorskip("pandas")
Image = pytest.importorskip("PIL.Image")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a [1]", "a*", "a?"])
def test_a_folder_may_have_any_name(name, tmp_path) -> None:
    state = {"w": jnp.arange(3.0), "half": jnp.ones((2, 2), jnp.bfloat16)}
    hondo.save(tmp_path / name, state)
    got = hondo.restore(tmp_path / name, jax.tree.map(jnp.zeros_like, state))
    jax.tree.map(np.testing.assert_array_equal, got, state)


@pytest.mark.parametrize("stream", [False, True])
def test_a_shard_without_rows_says_nothing_of_its_columns(stream, tmp_path) -> None:
    for number in range(2):
        rows = "".join(f"{k},{k / 4 + number}\n" for k in range(9))
        (tmp_path / f"{number}.csv").write_text(f"k,price\n{rows}")
    (tmp_path / "2.csv").write_text("k,price\n")
    # A copy that an editor or macOS left.
    (tmp_path / ".0.csv").write_text("k,price\n1,1\n")
    raw = table(tmp_path / "*.csv", "price", stream=stream)
    assert raw.task == "regression"
    assert len(raw.targets) == 18


def test_a_mark_of_thousands_is_no_decimal_mark(tmp_path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\ty\n" + "".join(f"{k},{100 + k}\t{k % 2}\n" for k in range(1, 30)))
    with pytest.raises(ValueError, match=r"got 1,101\. Write it as 1101 or 1\.101\."):
        table(path, "y")
    path.write_text("a\ty\n1,234\t0\n1,5E-03\t1\n0,250\t1\n")
    assert table(path, "y").targets.tolist() == [0, 1, 1]


@pytest.mark.parametrize("name", ["a.csv.zip", "a.csv.gz", "a.csv.xz", "a.csv.bz2"])
def test_a_broken_archive_is_named(name, tmp_path) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b\x08\x00broken")
    with pytest.raises(ValueError, match=f"{name} must be a .csv table"):
        table(tmp_path / name, "y")


@pytest.fixture
def folder(tmp_path):
    """Two classes of icons that differ in what is opaque alone, and what is none of them."""
    for name, height in (("a", 2), ("b", 6)):
        (tmp_path / name / ".thumbs").mkdir(parents=True)
        for number in range(6):
            icon = np.zeros((8, 8, 4), np.uint8)
            icon[:height, :, 3] = 255
            Image.fromarray(icon).save(tmp_path / name / f"{number}.png")
        Image.fromarray(icon).save(tmp_path / name / ".thumbs" / "x.png")
    run = tmp_path / "runs" / "data-1"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    Image.fromarray(icon).save(run / "curves.png")
    return tmp_path


def test_a_folder_has_the_images_that_are_seen_in_it(folder) -> None:
    raw = images(folder)
    assert raw.classes == ("a", "b")
    assert len(raw.targets) == 12


def test_what_is_transparent_is_white(folder) -> None:
    raw = images(folder)
    for pixels, target in zip(np.asarray(raw.examples)[..., 0], raw.targets, strict=True):
        height = (2, 6)[int(target)]
        assert not pixels[:height].any()
        assert np.all(pixels[height:] == 255)


def test_an_option_that_is_given_again_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--drop must be given once.*--drop A B"):
        _check_values(["train", "a.csv", "--drop", "leak", "--drop", "customer"])
    _check_values(["train", "a.csv", "--target", "a", "--target", "b"])


def test_all_bits_of_a_seed_count() -> None:
    keys = [jax.random.key_data(build.run_key(seed)).tolist() for seed in (0, 2**32, 2**33)]
    assert len(set(map(tuple, keys))) == 3
    np.testing.assert_array_equal(keys[0], jax.random.key_data(jax.random.key(0)))


def test_a_name_with_brackets_is_shown_as_it_is(capsys) -> None:
    with open_bar("weight [kg]", "{task.fields[metrics]}") as bar:
        bar.add_task("fit", total=1, metrics="speed [/h] 1.0")
    assert "weight [kg]" in (shown := capsys.readouterr().err)
    assert "speed [/h]" in shown
