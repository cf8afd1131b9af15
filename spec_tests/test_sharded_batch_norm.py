"""Batch norm over several devices, in a process of its own that has four."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compile_quickly import with_devices
from exact import gamma
from normalization_oracle import standard

import hondo

EPS = 1e-5
PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import hondo

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
rng = np.random.default_rng(0)
x = jnp.asarray(rng.normal(size=(32, 3)) * 5 + 100, jnp.float32)
g = jnp.asarray(rng.normal(size=(32, 3)), jnp.float32)
# Devices with all, some, one and none of their eight examples valid.
where = jnp.asarray([True] * 8 + [True, False] * 4 + [True] + [False] * 15)
stats, scale, bias = hondo.init_batch_stats(3), jnp.array([1.0, -2.0, 0.5]), jnp.ones(3)
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
over, one = P("data"), P()


def step(x, g, where, scale, bias, axis_name):
    def loss(x, scale, bias):
        y, new = hondo.batch_norm(
            x, stats, scale, bias, decay=0.9, epsilon=1e-5, where=where, axis_name=axis_name
        )
        part = jnp.sum(jnp.where(where[:, None], y * g, 0.0))
        return part if axis_name is None else jax.lax.psum(part, axis_name), (y, new)

    return jax.grad(loss, (0, 1, 2), has_aux=True)(x, scale, bias)


def local(*arguments):
    return step(*arguments, "data")


mapped = jax.jit(jax.shard_map(
    local, mesh=mesh, in_specs=(over, over, over, one, one),
    out_specs=((over, one, one), (over, one)),
))
plain = jax.jit(lambda *a: step(*a, None))
want = plain(x, g, where, scale, bias)
split = [jax.device_put(a, NamedSharding(mesh, over)) for a in (x, g, where)]
results = {"shard_map": mapped(*split, scale, bias), "jit": plain(*split, scale, bias)}
assert len(results["jit"][1][0].sharding.device_set) == 4
for name, got in results.items():
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        # 13 valid entries: sums in another order, of terms no larger than the largest.
        assert np.max(np.abs(a - b)) <= 13 * 16 * 2**-24 * max(np.max(np.abs(b)), 13.0), name
text = plain.lower(*split, scale, bias).compile().as_text()
assert "all-gather" not in text and "all-reduce" in text
unmasked = jax.jit(lambda x: hondo.batch_norm(x, stats, scale, bias, decay=0.9, epsilon=1e-5))
assert "all-gather" not in unmasked.lower(split[0]).compile().as_text()
print("sharded as whole")
"""


@pytest.mark.slow
@pytest.mark.promise(6)
def test_shards_with_uneven_masks_are_one_batch():
    environment = {**os.environ, **with_devices(4)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "sharded as whole", done.stderr[-3000:]


@pytest.mark.promise(6)
@pytest.mark.parametrize("single", [False, True])
def test_a_vmapped_axis_is_part_of_the_batch(single):
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(16, 3)) + 1e4).astype(np.float32)
    parts = x if single else x.reshape(4, 4, 3)

    def run(part):
        return hondo.batch_normalize(part, None, None, epsilon=EPS, axis_name="i")

    y, moments = jax.jit(jax.vmap(run, axis_name="i"))(parts)
    want = standard(x, EPS, (0,))
    assert np.all(np.abs(np.asarray(y).reshape(16, 3) - want.xhat) <= want.tight)
    assert np.all(np.asarray(moments.n) == 16)
    np.testing.assert_allclose(np.asarray(moments.m2[0]), 16 * want.var[0], rtol=gamma(9 * 20))


@pytest.mark.slow
@pytest.mark.promise(6)
def test_counts_are_combined_and_not_means_of_means():
    x = jnp.asarray([[[0.0], [9.0]], [[4.0], [8.0]]])
    where = jnp.asarray([[True, False], [True, True]])

    def run(x, where):
        return hondo.batch_moments(x, where=where, axis_name="i")

    moments = jax.vmap(run, axis_name="i")(x, where)
    assert moments.n.tolist() == [[3.0], [3.0]]
    assert moments.mean.tolist() == [[4.0], [4.0]]
    assert moments.m2.tolist() == [[32.0], [32.0]]
