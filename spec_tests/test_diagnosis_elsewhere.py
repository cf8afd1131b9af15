"""The diagnosis of models of other libraries, where they are installed."""

import jax
import jax.numpy as jnp
import pytest
from cases_diagnosis import KEY, as_problem, batch_of, equinox_problem, haiku_problem
from exact import normal
from flax import linen as nn

import hondo

pytestmark = pytest.mark.slow

FRAMEWORKS = {
    "equinox": (equinox_problem, [f"layers/{i}" for i in range(5)]),
    "haiku": (haiku_problem, [f"mlp/~/linear_{i}" for i in range(5)]),
}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_layers_have_their_parameters_names(name: str) -> None:
    pytest.importorskip(name)
    make, names = FRAMEWORKS[name]
    report = hondo.diagnose(make(5, 32), batch=batch_of(64), key=KEY)
    assert [row.name for row in report.rows if row.kind == "layer"] == names
    hidden = [row.activation for row in report.rows if row.kind == "activation"]
    assert hidden == ["relu"] * (len(names) - 1)
    assert report.verdicts == ()


def test_an_equinox_convolution_has_its_channels_as_units() -> None:
    eqx = pytest.importorskip("equinox")
    conv = eqx.nn.Conv2d(3, 6, 3, key=KEY)
    params, static = eqx.partition((conv, eqx.nn.Linear(6 * 36, 10, key=KEY)), eqx.is_array)

    def apply(own: tuple, x: jax.Array) -> jax.Array:
        conv, dense = eqx.combine(own, static)
        return jax.vmap(lambda image: dense(nn.relu(conv(image)).reshape(-1)))(x)

    batch = normal(0, 16, 3, 8, 8), jnp.arange(16) % 10
    report = hondo.diagnose(as_problem(apply, params), batch=batch, key=KEY)
    assert [row.units for row in report.rows] == [6, 6, 10]
