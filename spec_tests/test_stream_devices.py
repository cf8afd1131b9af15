"""Streams on many devices: the layout, and whole runs in processes that have eight devices."""

import contextlib
import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen
from jax.ad_checkpoint import print_saved_residuals
from jax.sharding import AxisType, Mesh, PartitionSpec
from test_sharding import run

import hondo
from hondo.training.plan import make_plan
from hondo.training.streaming.layout import AXIS, make_layout

DEVICES = np.array(jax.devices()[:1])


@pytest.mark.slow
@pytest.mark.promise(6, 18)
@pytest.mark.parametrize("check", ["runs", "draws", "work"])
def test_a_stream_on_eight_devices_is_the_stream_on_one(check: str) -> None:
    assert run("streamed_devices.py", check) == "as on one device"


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((8, 24), PartitionSpec(None, AXIS)),
        ((32, 24), PartitionSpec(AXIS)),
        ((3, 3, 12, 8), PartitionSpec(None, None, AXIS)),
        ((4, 4), PartitionSpec()),
        ((9, 9), PartitionSpec()),
        ((), PartitionSpec()),
    ],
    ids=str,
)
def test_a_large_parameter_is_cut_along_its_largest_axis_that_can_be(shape, spec) -> None:
    assert hondo.fully_sharded(min_size=64, devices=4)(("kernel",), shape) == spec


def test_equal_rules_are_equal() -> None:
    assert hondo.fully_sharded() == hondo.fully_sharded()
    assert hondo.fully_sharded() != hondo.fully_sharded(min_size=1)


def test_an_explicit_mesh_is_taken_as_an_automatic_one() -> None:
    explicit = jax.make_mesh((1,), (AXIS,), devices=[*DEVICES])
    assert explicit.axis_types == (AxisType.Explicit,)
    layout = make_layout(explicit, hondo.replicated, 8)
    assert layout == make_layout(Mesh(DEVICES, (AXIS,)), hondo.replicated, 8)


def test_meshes_rules_and_sizes_that_do_not_fit_are_refused() -> None:
    mesh = Mesh(DEVICES, (AXIS,))
    with pytest.raises(ValueError, match="mesh must be a mesh with an axis 'data'"):
        make_layout(Mesh(DEVICES, ("model",)), hondo.replicated, 8)
    with pytest.raises(ValueError, match="batch_size must be a multiple of 3, for 1 devices and 3"):
        make_layout(mesh, hondo.replicated, 8, 3)
    for answer in (PartitionSpec("model"), PartitionSpec(None, None, AXIS)):
        layout = make_layout(mesh, lambda path, shape, answer=answer: answer, 8)
        with pytest.raises(
            ValueError, match=r"shard\(\('w',\), \(3, 4\)\) must be one that divides"
        ):
            layout.place({"w": jnp.ones((3, 4))}, {"w": jnp.ones((3, 4))})
    for options in ({"min_size": 0}, {"devices": 0}):
        with pytest.raises(ValueError, match="must be an integer of at least 1"):
            hondo.fully_sharded(**options)


@pytest.mark.slow
def test_remat_keeps_the_products_alone_and_changes_no_value() -> None:
    layers = [linen.Dense(8), linen.LayerNorm(), jnp.tanh] * 3
    problem = hondo.supervised(linen.Sequential(layers), loss="squared_error")
    batch = jnp.ones((16, 8)), jnp.ones((16, 8))
    params, state = problem.init(jax.random.key(0), batch)
    stopper, key = hondo.early_stopping(1, mode="min"), jax.random.key(1)

    def value_and_kept(remat: bool):
        plan = make_plan(problem, optax.sgd(0.1), 16, 1, stopper, "loss", None, remat=remat)

        def loss(params):
            return plan.loss(params, state, batch, key)[0]

        with contextlib.redirect_stdout(io.StringIO()) as said:
            print_saved_residuals(loss, params)
        kept = [line for line in said.getvalue().splitlines() if line.startswith("f32[16,8]")]
        return jax.jit(jax.value_and_grad(loss))(params), kept

    (want, kept), (got, fewer) = value_and_kept(False), value_and_kept(True)
    assert jax.tree.all(jax.tree.map(lambda one, other: (one == other).all(), got, want))
    # The products of the three layers, and the two arrays of the batch.
    assert len(fewer) <= 5 < len(kept)
