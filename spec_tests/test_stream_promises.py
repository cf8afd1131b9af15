"""What docs/streaming.md promises: each of it has a property or a test, and some have it here."""

import itertools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hondo
from hondo.training.randomness import augment_batch, draw_batch, run_keys
from hondo_spec.areas import BY_ID

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs/streaming.md"


def test_every_promise_has_a_property_or_a_test() -> None:
    lines = [line.split(" | ") for line in PAGE.read_text().splitlines() if "| STR-" in line]
    promised = {id.strip("| "): kept for id, _, kept in lines}
    assert list(promised) == [f"STR-{number:02d}" for number in range(1, 14)]
    texts = "\n".join(path.read_text() for path in HERE.glob("test_*.py"))
    for id, kept in promised.items():
        tests = re.findall(r"`(test_\w+)`", kept)
        assert all(f"\ndef {test}(" in texts for test in tests), id
        assert kept.startswith("property") == (id in BY_ID), id
        assert tests or id in BY_ID


@pytest.mark.slow
@pytest.mark.promise(18)
def test_an_augmentation_goes_by_key_epoch_and_example_alone() -> None:
    """STR-03: not by the size of the batch, nor by who else is in it, nor in which order."""

    def augment(key, example, partner):
        return jnp.stack([example, partner, *jax.random.bits(key, (2,))])

    keys, data = run_keys(jax.random.key(0)), jnp.arange(12, dtype=jnp.uint32)

    @jax.jit
    def augmented(indices, epoch):
        drawn = draw_batch(keys, epoch, data, indices, True)
        return augment_batch(augment, drawn, False)

    whole = np.asarray(augmented(np.arange(12), 3))
    assert len({tuple(row) for row in whole[:, 2:].tolist()}) == 12
    for indices in ([11, 0, 5], [5, 5, 2]):
        np.testing.assert_array_equal(augmented(np.array(indices), 3), whole[indices])
    assert not (augmented(np.array([5, 0, 1]), 4)[:, 2:] == whole[[5, 0, 1], 2:]).any()


@pytest.mark.slow
@pytest.mark.promise(3, 16)
def test_the_newest_is_resumed_and_nan_is_never_best(tmp_path) -> None:
    """STR-10, in all orders of saves."""
    init, update = hondo.early_stopping(9, mode="min")
    for number, values in enumerate(itertools.permutations((0.5, 1.0, np.nan))):
        folder, state = tmp_path / str(number), init(np.int32(-1))
        for step, value in enumerate(values):
            state = update(state, np.float32(value), np.int32(step))
            hondo.save(folder, state)
            read = hondo.restore(folder, init(np.int32(-1)))
            assert int(read.step) == step + 1
            known = {seen: at for at, seen in enumerate(values[: step + 1]) if seen == seen}
            assert float(read.best_value) == min(known, default=np.inf)
            assert int(read.best) == known.get(min(known, default=np.inf), -1)
