"""What a user of Flax writes works with hondo's modules in place of Flax's, or is refused."""

import pathlib
import subprocess
import sys

import jax
import pytest
from flax import nnx

from hondo import linen as hl
from hondo import nnx as hx

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (16, 6)) * 2 + 3
RNGS = nnx.Rngs(0)


@pytest.mark.parametrize(
    "make",
    [
        # Flax's first field is use_running_average.
        lambda: hl.BatchNorm(True),
        lambda: hl.BatchNorm(False),
        lambda: hl.BatchNorm(0.9),
        # Its second ones are group_size, a dtype and, but for Dropout's, no other is hondo's.
        lambda: hl.GroupNorm(2, None),
        lambda: hl.LayerNorm(1e-5, None),
        lambda: hl.InstanceNorm(1e-5, None),
        lambda: hl.RMSNorm(1e-5, None),
        lambda: hl.Dropout(0.5, ()),
    ],
)
def test_fields_go_by_name_where_flax_has_others(make) -> None:
    with pytest.raises(TypeError, match="positional"):
        make()


def test_the_first_fields_that_flax_shares_go_by_position() -> None:
    assert hl.GroupNorm(2).groups == 2
    assert hl.Dropout(0.5).rate == 0.5
    assert hl.LayerNorm(1e-3).epsilon == hl.InstanceNorm(1e-3).epsilon == 1e-3
    assert hl.RMSNorm(1e-3).epsilon == 1e-3


def test_a_bool_is_no_number() -> None:
    program = pathlib.Path(__file__).with_name("refuse_bools.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_probability_is_refused_by_its_name(rate) -> None:
    with pytest.raises(ValueError, match="rate must be a number in"):
        hl.Dropout(rate).apply({}, X, train=False)
    with pytest.raises(ValueError, match="rate must be a number in"):
        hx.Dropout(rate, rngs=RNGS)
