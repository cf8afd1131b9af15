"""What users of Flax do with hondo's modules and runs without thinking: as Flax does it."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import normal
from flax import linen as nn
from flax import nnx
from jax import export

import hondo
from hondo import linen as hl
from hondo import nnx as hx
from hondo.gradients.residual import _block

pytestmark = [pytest.mark.slow, pytest.mark.compile_quickly]

KEY = jax.random.key(0)
X, Y = normal(1, 16, 6), jnp.arange(16) % 3
PROBLEM = hondo.supervised(nn.Dense(3), loss="cross_entropy")
RUN = {"key": KEY, "batch_size": 16, "stopper": hondo.early_stopping(2, mode="min")}


class _Drop(nn.Module):
    @nn.compact
    def __call__(self, carry, x, train):
        return carry, nn.Dropout(0.5, deterministic=not train)(x)


class _Steps(nn.Module):
    """A mask for each step of a sequence, as Flax's recurrent networks have."""

    @nn.compact
    def __call__(self, x, train=False):
        split = {"params": False, "dropout": True}
        axes = {"in_axes": (1, nn.broadcast), "out_axes": 1}
        return nn.scan(_Drop, variable_broadcast="params", split_rngs=split, **axes)()(0, x, train)[
            1
        ]


def test_a_scan_splits_the_stream_of_dropout_by_its_name() -> None:
    def differences(outputs, targets):
        return jnp.sum(jnp.var(outputs, axis=1), axis=-1)

    problem = hondo.supervised(_Steps(), loss=differences)
    batch = jnp.ones((2, 5, 8)), jnp.zeros(2)
    got = problem.loss({}, {}, batch, KEY)[0]
    want = _Steps().apply({}, batch[0], True, rngs={"dropout": KEY})
    np.testing.assert_allclose(got, jnp.mean(differences(want, None)), rtol=1e-6)
    assert got > 1


class _Named(nn.Module):
    @nn.compact
    def __call__(self, x, is_training=False):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not is_training)(x))


def test_a_network_may_call_its_mode_is_training() -> None:
    problem = hondo.supervised(_Named(), loss="cross_entropy")
    start = problem.init(KEY, (X, Y))
    losses = {float(problem.loss(*start, (X, Y), jax.random.key(k))[0]) for k in range(3)}
    assert len(losses) == 3


def _layers(rngs):
    """The second layer is one that Sequential hands no keyword to."""
    return nnx.Sequential(hx.BatchNorm(6, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))


@pytest.mark.parametrize(
    "make",
    [
        lambda: hx.Residual(_layers(nnx.Rngs(0))),
        lambda: hx.Repeat(lambda rngs: hx.Residual(_layers(rngs)), 2, rngs=nnx.Rngs(0)),
    ],
    ids=["residual", "repeat"],
)
@pytest.mark.parametrize("switch", [nnx.Module.train, nnx.Module.eval])
def test_the_mode_of_a_call_reaches_every_layer_of_a_block(make, switch) -> None:
    net = make()
    switch(net)
    np.testing.assert_array_equal(net(X, train=False), net(X, train=False))
    before = jax.tree.map(jnp.copy, nnx.state(net, nnx.BatchStat))
    assert np.any(net(X, train=True) != net(X, train=True))
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, nnx.state(net, nnx.BatchStat))
    assert all(jax.tree.leaves(moved))


def test_a_stacked_kernel_is_divided_along_its_own_axes() -> None:
    init = nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "model"))
    mesh = jax.make_mesh((1,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        net = hx.Repeat(lambda r: nnx.Linear(6, 6, kernel_init=init, rngs=r), 3, rngs=nnx.Rngs(0))
        assert net(X).shape == X.shape
    spec = nnx.get_partition_spec(nnx.state(net, nnx.Param))["blocks"]["kernel"]
    assert spec == jax.sharding.PartitionSpec(None, None, "model")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (hl.LayerNorm(), "b, 6"), (hl.RMSNorm(), "b, 6"), (hl.GroupNorm(2), "b, 6"),
        (hl.BatchNorm(use_running_average=True), "b, 6"), (hl.InstanceNorm(), "b, 4, 4, 6"),
    ],
)  # fmt: skip
def test_a_layer_is_exported_with_any_batch_size(layer, shape) -> None:
    x = X if shape == "b, 6" else normal(2, 3, 4, 4, 6)
    variables = layer.init(KEY, x)
    symbolic = jax.ShapeDtypeStruct(export.symbolic_shape(shape), jnp.float32)
    exported = export.export(jax.jit(partial(layer.apply, variables)))(symbolic)
    np.testing.assert_allclose(exported.call(x), layer.apply(variables, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("run", ["fit", "progress", "sweep", "stream"])
def test_the_search_for_nan_finds_none_in_a_run_without(run) -> None:
    # Rows of the history that no epoch reached are NaN.
    data, optimizer = (X, Y), optax.sgd(3.0)
    with jax.debug_nans(True):
        if run == "fit":
            hondo.fit(PROBLEM, optimizer, data, data, max_epochs=60, **RUN)
        if run == "progress":
            hondo.fit_with_progress(PROBLEM, optimizer, data, data, max_epochs=60, **RUN)
        if run == "stream":
            arrays = jax.tree.map(np.asarray, data)
            options = {**RUN, "max_epochs": 2, "progress": False}
            hondo.stream(PROBLEM, optimizer, arrays, arrays, **options)
        if run == "sweep":
            build = lambda h: {"problem": PROBLEM, "optimizer": optax.sgd(h["rate"])}  # noqa: E731
            hondo.sweep(build, hondo.grid(rate=[0.1, 3.0]), data, data, max_epochs=60, **RUN)


@pytest.mark.parametrize(
    "make",
    [
        partial(hx.LayerNorm, 6), partial(hx.RMSNorm, 6), partial(hx.GroupNorm, 6, 2),
        partial(hx.BatchNorm, 6), partial(hx.Dropout, 0.5),
    ],
)  # fmt: skip
def test_modules_are_tabulated_and_tell_their_views(make) -> None:
    module = make(rngs=nnx.Rngs(0))
    module.train()
    assert type(module).__name__ in nnx.tabulate(module, X)
    found = nnx.view_info(module)
    assert "True for inference" in found or isinstance(
        module, hx.LayerNorm | hx.RMSNorm | hx.GroupNorm
    )


@pytest.mark.parametrize("train", [True, False])
def test_an_empty_batch_changes_nothing(train) -> None:
    norm = hl.BatchNorm()
    variables = norm.init(KEY, X, True)
    y, new = norm.apply(variables, X[:0], train, mutable=["batch_stats"])
    assert y.shape == (0, 6)
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], variables["batch_stats"])


def test_group_norm_takes_one_example_under_vmap() -> None:
    variables = nn.GroupNorm(2).init(KEY, X)

    def gradients(norm):
        def loss(variables, x):
            return jnp.sum(norm.apply(variables, x) ** 3)

        return jax.vmap(jax.grad(loss), (None, 0))(variables, X)

    got, want = gradients(hl.GroupNorm(2)), gradients(nn.GroupNorm(2, use_fast_variance=False))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), got, want)


def test_residual_takes_the_float64_of_numpy() -> None:
    # JAX reads it as float32; the check of types takes arrays of JAX's alone.
    y = inspect.unwrap(_block)(jax.nn.relu, None, np.asarray(X, np.float64))
    np.testing.assert_array_equal(y, X + jax.nn.relu(X))


class _Dropping(nnx.Module):
    def __init__(self, rate, *, rngs):
        self.linear, self.dropout = nnx.Linear(6, 3, rngs=rngs), hx.Dropout(rate, rngs=rngs)

    def __call__(self, x):
        return self.linear(self.dropout(x))


def test_a_sweep_goes_over_the_rate_of_an_nnx_module() -> None:
    def build(values):
        module = partial(_Dropping, values["rate"])
        return {"problem": hondo.supervised(module, loss="cross_entropy")}

    options = {**RUN, "max_epochs": 2, "optimizer": optax.sgd(0.1)}
    found = hondo.sweep(build, hondo.grid(rate=[0.1, 0.5]), (X, Y), (X, Y), **options)
    assert len(found.table()) == 2


def test_modules_may_take_their_rngs_by_name_alone() -> None:
    net = hx.Repeat(partial(nnx.Linear, 6, 6), 2, rngs=nnx.Rngs(0))
    assert net(X).shape == X.shape


@pytest.mark.parametrize("wrong", [nn.Dense, lambda x: x @ X.T])
def test_what_makes_no_module_is_refused_by_what_it_gives(wrong) -> None:
    with pytest.raises(TypeError, match=r"module must be .*Called with an nnx\.Rngs, it"):
        hondo.supervised(wrong, loss="cross_entropy")
