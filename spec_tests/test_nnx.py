"""The nnx modules hold to their functions, to the linen modules and to Flax's state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import assert_binomial, gamma, normal
from flax import nnx

import hondo
import hondo.linen
import hondo.nnx
from hondo.nnx import (
    BatchNorm,
    Dropout,
    Repeat,
    Residual,
    commit_moments,
    hold_moments,
)

pytestmark = [pytest.mark.slow, pytest.mark.compile_quickly]

KEY = jax.random.key(0)
X = normal(1, 16, 6) * 2 + 3
IMAGES = normal(2, 4, 8, 8, 2)


def stats(norm) -> hondo.BatchStats:
    return hondo.BatchStats(norm.mean[...], norm.var[...], norm.weight[...])


def assert_equal(got, want) -> None:
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.rounding
def test_batch_norm_is_the_function() -> None:
    norm = BatchNorm(6, decay=0.9, rngs=nnx.Rngs(0))
    want, new = hondo.batch_norm(
        X, hondo.init_batch_stats(6), jnp.ones(6), jnp.zeros(6), decay=0.9, epsilon=1e-5
    )
    np.testing.assert_array_equal(norm(X, train=True), want)
    assert_equal(stats(norm), new)
    inferred = hondo.batch_norm_inference(X, new, jnp.ones(6), jnp.zeros(6), epsilon=1e-5)
    np.testing.assert_array_equal(norm(X, train=False), inferred)
    assert_equal(stats(norm), new)


@pytest.mark.rounding
def test_a_mask_reaches_the_function() -> None:
    norm, half = BatchNorm(6, rngs=nnx.Rngs(0)), BatchNorm(6, rngs=nnx.Rngs(0))
    norm(X, train=True, where=jnp.arange(16) < 8)
    half(X[:8], train=True)
    for masked, cut in zip(stats(norm), stats(half), strict=True):
        np.testing.assert_allclose(masked, cut, rtol=gamma(64))


@pytest.mark.rounding
@pytest.mark.promise(8)
def test_state_trained_with_flax_loads_and_infers_the_same() -> None:
    theirs = nnx.BatchNorm(6, momentum=0.8, rngs=nnx.Rngs(0))
    for _ in range(3):
        theirs(X)
    want = theirs(X, use_running_average=True)
    ours = BatchNorm(6, rngs=nnx.Rngs(1))
    nnx.update(ours, nnx.state(theirs))
    # Both take a difference, a root, a quotient and a product of values up to a few units.
    bound = gamma(10) * float(jnp.max(jnp.abs(X)) / jnp.sqrt(theirs.var[...].min()))
    np.testing.assert_allclose(ours(X, train=False), want, rtol=0, atol=2 * bound)
    # Training goes on from there as Flax's does.
    biased = BatchNorm(6, decay=0.8, ddof=0, rngs=nnx.Rngs(1))
    nnx.update(biased, nnx.state(theirs))
    theirs(X), biased(X, train=True)
    np.testing.assert_allclose(biased.var[...], theirs.var[...], rtol=gamma(64))


@pytest.mark.rounding
@pytest.mark.parametrize("use", [True, False])
@pytest.mark.parametrize("name", ["LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm"])
def test_the_norms_are_the_linen_ones(name, use) -> None:
    arguments = {"groups": 2} if name == "GroupNorm" else {}
    arguments["use_scale"] = use
    theirs = getattr(hondo.linen, name)(**arguments)
    ours = getattr(hondo.nnx, name)(2, **arguments, rngs=nnx.Rngs(0))
    variables = theirs.init(KEY, IMAGES, train=True)
    want = theirs.apply(variables, IMAGES, train=True)
    np.testing.assert_array_equal(ours(IMAGES, train=True), want)
    np.testing.assert_array_equal(ours(IMAGES, train=False), want)
    assert len(jax.tree.leaves(nnx.state(ours))) == len(jax.tree.leaves(variables))


@pytest.mark.rounding
def test_dropout_drops_at_its_rate_and_only_in_training() -> None:
    x = jnp.ones(2**16)
    drop = Dropout(0.3, rngs=nnx.Rngs(0))
    first, second = drop(x, train=True), drop(x, train=True)
    assert_binomial(int(jnp.sum(first != 0)), x.size, 0.7)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(drop(x, train=False), x)
    again = Dropout(0.3, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(again(x, train=True), first)
    shared = Dropout(0.5, broadcast_dims=(0,), rngs=nnx.Rngs(0))(jnp.ones((9, 64)), train=True)
    np.testing.assert_array_equal(shared, jnp.broadcast_to(shared[:1], shared.shape))


class Noisy(nnx.Module):
    def __init__(self, rngs, rate=0.5):
        self.dense = nnx.Linear(6, 6, rngs=rngs)
        self.dropout = Dropout(rate, rngs=rngs)
        self.norm = BatchNorm(6, rngs=rngs)

    def __call__(self, x, *, train):
        return self.norm(self.dropout(self.dense(x), train=train), train=train)


@pytest.mark.rounding
@pytest.mark.promise(4)
@pytest.mark.parametrize("remat", [False, True])
def test_repeat_is_the_blocks_one_after_another(remat) -> None:
    deep = Repeat(Noisy, 4, remat=remat, rngs=nnx.Rngs(0))
    kernel = deep.blocks.dense.kernel[...]
    assert kernel.shape == (4, 6, 6)
    assert not np.array_equal(kernel[0], kernel[1])
    graph, state = nnx.split(deep.blocks)
    blocks = [nnx.merge(graph, jax.tree.map(lambda leaf, i=i: leaf[i], state)) for i in range(4)]
    y = x = normal(0, 16, 6)
    for block in blocks:
        y = block(y, train=True)
    got = deep(x, train=True)
    # The same formulas, compiled once inside a loop and once alone, through four norms.
    np.testing.assert_allclose(got, y, rtol=0, atol=gamma(1000))
    masks = np.asarray(got == 0)
    np.testing.assert_array_equal(masks, np.asarray(y == 0))
    for i, block in enumerate(blocks):
        np.testing.assert_allclose(deep.blocks.norm.mean[i], block.norm.mean[...], atol=gamma(1000))
        assert int(deep.blocks.dropout.rngs.count[i]) == 1


@pytest.mark.rounding
@pytest.mark.promise(4)
def test_the_program_of_a_deep_network_does_not_grow() -> None:
    def size(depth):
        net = Repeat(Noisy, depth, rngs=nnx.Rngs(0))
        graph, state = nnx.split(net)
        lowered = jax.jit(lambda s, x: nnx.merge(graph, s)(x, train=False)).lower(state, X)
        return len(lowered.as_text().splitlines())

    assert size(20) == size(1000)


@pytest.mark.rounding
def test_residual_adds() -> None:
    branch = nnx.Linear(6, 6, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(Residual(branch)(X, train=True), X + branch(X))
    narrow, shortcut = (nnx.Linear(6, 2, rngs=nnx.Rngs(seed)) for seed in (0, 1))
    with pytest.raises(ValueError, match=r"\(16, 6\).*\(16, 2\)"):
        Residual(narrow)(X, train=True)
    projected = Residual(narrow, shortcut=shortcut)
    np.testing.assert_array_equal(projected(X, train=True), shortcut(X) + narrow(X))


class Projected(nnx.Module):
    """A projection shortcut with its norm, as in He et al. 2015b."""

    def __init__(self, rngs):
        self.dense, self.norm = nnx.Linear(6, 3, rngs=rngs), BatchNorm(3, rngs=rngs)

    def __call__(self, x, *, train):
        return self.norm(self.dense(x), train=train)


@pytest.mark.rounding
def test_residual_tells_train_to_whoever_takes_it() -> None:
    branch, shortcut = nnx.Linear(6, 3, rngs=nnx.Rngs(0)), Projected(nnx.Rngs(1))
    got = Residual(branch, shortcut=shortcut)(X, train=True)
    trained = stats(shortcut.norm)
    again = Projected(nnx.Rngs(1))
    np.testing.assert_array_equal(got, again(X, train=True) + branch(X))
    assert_equal(trained, stats(again.norm))
    got = Residual(branch, shortcut=shortcut)(X, train=False)
    np.testing.assert_array_equal(got, again(X, train=False) + branch(X))
    assert_equal(stats(shortcut.norm), trained)


@pytest.mark.rounding
def test_repeat_takes_blocks_without_train() -> None:
    deep = Repeat(lambda rngs: nnx.Linear(6, 6, rngs=rngs), 3, rngs=nnx.Rngs(0))
    want = X
    for kernel in deep.blocks.kernel[...]:
        want = want @ kernel
    # Three products of six terms each, in either; the biases are zeros.
    bound = gamma(64) * float(jnp.max(jnp.abs(want)))
    np.testing.assert_allclose(deep(X, train=True), want, rtol=0, atol=bound)


@pytest.mark.rounding
@pytest.mark.promise(7)
def test_microbatches_and_calls_count_as_one_update() -> None:
    pooled = BatchNorm(6, rngs=nnx.Rngs(0))
    whole = BatchNorm(6, rngs=nnx.Rngs(0))
    whole(X, train=True)
    hold_moments(pooled)
    for part in (X[:4], X[4:6], X[6:]):
        nnx.jit(lambda norm, x: norm(x, train=True))(pooled, part)
    np.testing.assert_array_equal(pooled.weight[...], np.zeros(6))
    commit_moments(pooled)
    for one, other in zip(stats(pooled), stats(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=gamma(128))
    assert jax.tree.structure(nnx.state(pooled)) == jax.tree.structure(nnx.state(whole))


@pytest.mark.rounding
@pytest.mark.promise(7)
def test_repeated_blocks_hold_moments_too() -> None:
    deep = Repeat(lambda rngs: BatchNorm(6, rngs=rngs), 3, rngs=nnx.Rngs(0))
    hold_moments(deep)
    for part in (X[:8], X[8:]):
        deep(part, train=True)
    commit_moments(deep)
    np.testing.assert_array_equal(deep.blocks.weight[...], np.full((3, 6), np.float32(1) - 0.99))
    np.testing.assert_allclose(deep.blocks.mean[0], np.mean(np.float64(X), 0), rtol=gamma(64))


@pytest.mark.rounding
@pytest.mark.promise(7)
def test_remat_counts_once() -> None:
    def updated(remat):
        deep = Repeat(lambda rngs: BatchNorm(6, rngs=rngs), 2, remat=remat, rngs=nnx.Rngs(0))
        nnx.grad(lambda net: jnp.sum(jnp.sin(net(X, train=True))))(deep)
        return stats(deep.blocks)

    assert_equal(updated(True), updated(False))


def test_moments_need_a_batch_norm_and_a_start() -> None:
    with pytest.raises(ValueError, match=r"hondo\.nnx\.BatchNorm, got Linear"):
        hold_moments(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="hold_moments"):
        commit_moments(BatchNorm(2, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize(
    "module",
    [
        Dropout(0.1, rngs=nnx.Rngs(0)),
        BatchNorm(6, rngs=nnx.Rngs(0)),
        Residual(Dropout(0.1, rngs=nnx.Rngs(0))),
        Repeat(lambda rngs: BatchNorm(6, rngs=rngs), 2, rngs=nnx.Rngs(0)),
    ],
)
def test_the_mode_is_required(module) -> None:
    with pytest.raises(ValueError, match="train must be"):
        module(X)


class Deep(nnx.Module):
    """Residual blocks of Noisy, repeated, and a last layer."""

    def __init__(self, rngs, *, depth=2, rate=0.5):
        self.blocks = Repeat(lambda rngs: Residual(Noisy(rngs, rate)), depth, rngs=rngs)
        self.last = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x, *, train):
        return self.last(jax.nn.relu(self.blocks(x, train=train)))


def test_repeated_blocks_run_backward() -> None:
    net = Deep(nnx.Rngs(0))
    gradient = nnx.jit(nnx.grad(lambda net: jnp.sum(net(X, train=True) ** 2)))(net)
    for leaf in jax.tree.leaves(gradient):
        assert bool(jnp.isfinite(leaf).all())
    assert bool(jnp.any(gradient["blocks"]["blocks"]["branch"]["dense"]["kernel"][...] != 0))


def test_a_network_of_repeated_dropout_trains_as_a_problem() -> None:
    problem = hondo.supervised(Deep, loss="cross_entropy")
    params, state = problem.init(KEY, (X, jnp.arange(16) % 3))
    batch = (X, jnp.arange(16) % 3)
    first, (state, _) = problem.loss(params, state, batch, KEY)
    second, _ = problem.loss(params, state, batch, jax.random.key(1))
    again, _ = problem.loss(params, state, batch, KEY)
    assert float(first) == float(again) != float(second)


@pytest.mark.rounding
def test_the_rate_of_dropout_may_be_traced() -> None:
    def drop(rate):
        return Dropout(rate, rngs=nnx.Rngs(0))(X, train=True)

    np.testing.assert_array_equal(jax.jit(drop)(0.5), drop(0.5))


def fitted(module, **changes):
    problem = hondo.supervised(module, loss="cross_entropy")
    data = X, jnp.arange(16) % 3
    arguments = {"key": KEY, "batch_size": 8, "max_epochs": 2, **changes}
    stopper = hondo.early_stopping(3, mode="min")
    return hondo.fit(problem, optax.sgd(0.1), data, data, **arguments, stopper=stopper)


def test_a_traced_rate_trains() -> None:
    def last(rate):
        def make(rngs):
            return Deep(rngs, rate=rate)

        return fitted(make).history.valid["loss"]

    # Another program, of which only rounding may differ, over four steps.
    np.testing.assert_allclose(jax.jit(last)(0.5), last(0.5), rtol=1e-4)
    rates = jnp.array([0.1, 0.5])
    np.testing.assert_allclose(jax.vmap(last)(rates)[1], last(0.5), rtol=1e-4)


class Flaxes(nnx.Module):
    def __init__(self, rngs, dropout_rngs=None):
        self.dense, self.norm = nnx.Linear(6, 3, rngs=rngs), nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=dropout_rngs or rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.dense(x)))


@pytest.mark.rounding
def test_a_module_of_flaxes_own_layers_trains_from_its_own_parameters() -> None:
    module = Flaxes(nnx.Rngs(0))
    before = np.asarray(module.dense.kernel[...])
    result = fitted(module)
    assert not np.array_equal(result.last.params["dense"]["kernel"][...], before)
    np.testing.assert_array_equal(module.dense.kernel[...], before)


def test_a_stream_of_another_kind_of_key_trains() -> None:
    def make(rngs):
        return Flaxes(rngs, nnx.Rngs(jax.random.key(1, impl="rbg")))

    assert bool(jnp.isfinite(fitted(make).history.valid["loss"]).all())


def test_errors_of_no_examples_are_none() -> None:
    problem = hondo.supervised(lambda rngs: nnx.Linear(6, 2, rngs=rngs), loss="squared_error")
    params, state = problem.init(KEY, (X, X[:, :2]))
    assert problem.metrics(params, state, (X[:0], X[:0, :2]))["loss"].shape == (0,)
