"""A batch in parts is one batch: one gradient, one value, one step of the running statistics."""

from functools import partial

import jax
import jax.numpy as jnp
import killed_run
import numpy as np
import pytest
from exact import gamma
from flax import linen, nnx

import hondo
from hondo._microbatched import microbatched
from hondo.linen import BatchNorm
from hondo.nnx import BatchNorm as NnxBatchNorm

pytestmark = pytest.mark.compile_quickly

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
X, Y = jnp.asarray(RNG.normal(size=(12, 5)), jnp.float32), jnp.asarray(RNG.integers(0, 3, 12))
WEIGHTS = jnp.array([0.0, 0, 1, 0, 1, 2, 0, 3, 4, 0, 5, 0.5])


class Net(linen.Module):
    """Two layers."""

    @linen.compact
    def __call__(self, x):
        return linen.Dense(3)(jnp.tanh(linen.Dense(4)(x)))


def nnx_net(rngs: nnx.Rngs) -> nnx.Module:
    """The same."""
    return nnx.Sequential(nnx.Linear(5, 4, rngs=rngs), jnp.tanh, nnx.Linear(4, 3, rngs=rngs))


supervised = partial(hondo.supervised, loss="cross_entropy")
PENALTY = partial(hondo.l2_penalty, strength=0.1)
PROBLEMS = {
    "mean": (supervised(Net()), (X, Y)),
    "sum": (supervised(Net(), reduce=jnp.sum), (X, Y)),
    # The first of three parts has no weight at all.
    "weights": (supervised(Net()), (X, Y, WEIGHTS)),
    "weighted sum": (supervised(Net(), reduce=jnp.sum), (X, Y, WEIGHTS)),
    "worst": (supervised(Net(), reduce=jnp.max), (X, Y)),
    "classes": (supervised(Net(), class_weights=[1, 2, 3], label_smoothing=0.1), (X, Y)),
    "nnx": (supervised(nnx_net), (X, Y)),
}


def value_and_gradient(loss, problem: hondo.Problem, batch):
    params, state = problem.init(KEY, batch)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))(params, state, batch, KEY)


@pytest.mark.slow
@pytest.mark.promise(7)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("parts", [3, 12])
def test_parts_have_the_value_and_the_gradient_of_the_batch(name, parts) -> None:
    problem, batch = PROBLEMS[name]
    for loss in (problem.loss, hondo.penalized(problem.loss, PENALTY)):
        (want, (_, info)), want_gradient = value_and_gradient(loss, problem, batch)
        (got, (_, own)), gradient = value_and_gradient(microbatched(loss, parts), problem, batch)
        # Sums of at most 12 · 5 terms, of products of numbers below 16.
        bound = 16 * gamma(60)
        for one, other in zip(
            jax.tree.leaves((got, own, gradient)),
            jax.tree.leaves((want, info, want_gradient)),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=bound, atol=bound)


def test_equal_losses_in_parts_are_equal() -> None:
    def loss():
        return hondo.penalized(supervised(Net()).loss, PENALTY)

    assert microbatched(loss(), 3) == microbatched(loss(), 3)
    assert hash(microbatched(loss(), 3)) == hash(microbatched(loss(), 3))
    assert microbatched(loss(), 3) != microbatched(loss(), 2)


class Normed(linen.Module):
    """A batch norm of the inputs, and then a layer of them."""

    norm: type[linen.Module] = BatchNorm
    options: tuple = ()

    @linen.compact
    def __call__(self, x, train: bool):
        return linen.Dense(3)(self.norm(**dict(self.options), name="norm")(x, train=train))


class Stacked(linen.Module):
    """Two batch norms in a scan, whose statistics are stacked."""

    @linen.compact
    def __call__(self, x, train: bool):
        scan = linen.scan(
            lambda norm, x, _: (norm(x, train=train), None),
            variable_axes={"params": 0, "batch_stats": 0, "batch_moments": 0},
            split_rngs={"params": True},
            length=2,
        )
        x, _ = scan(BatchNorm(name="norm"), x, None)
        return linen.Dense(3)(x)


class NnxNormed(nnx.Module):
    """The same in nnx, and a dropout, whose keys are state too."""

    def __init__(self, rngs: nnx.Rngs, norm: type[nnx.Module] = NnxBatchNorm, **options):
        self.norm, self.dropout = norm(5, rngs=rngs, **options), nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(self.dropout(self.norm(x)))


MODULES = {
    "linen": Normed(options=(("decay", 0.9),)),
    "as Flax": Normed(options=(("momentum", 0.9),)),
    "stacked": Stacked(),
    "nnx": partial(NnxNormed, decay=0.9),
}


@pytest.mark.slow
@pytest.mark.promise(7)
@pytest.mark.parametrize("name", MODULES)
def test_the_running_statistics_take_one_step_by_the_pooled_moments(name) -> None:
    problem = supervised(MODULES[name])
    params, state = problem.init(KEY, (X, Y))
    whole = jax.jit(problem.loss)(params, state, (X, Y), KEY)[1][0]
    parts = jax.jit(microbatched(problem.loss, 3))(params, state, (X, Y), KEY)[1][0]
    assert jax.tree.structure(whole) == jax.tree.structure(parts)
    for got, want in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        if name == "stacked":
            # The second norm sees what the first has normalized, which differs by part.
            got, want = got[0], want[0]
        if not jnp.issubdtype(got.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(got, want, rtol=4 * gamma(24), atol=4 * gamma(24))


@pytest.mark.slow
@pytest.mark.promise(7)
def test_batch_norm_normalizes_each_part_by_itself() -> None:
    problem = supervised(Normed())
    params, state = problem.init(KEY, (X, Y))
    loss = jax.jit(problem.loss)
    got = jax.jit(microbatched(problem.loss, 3))(params, state, (X, Y), KEY)[0]
    each = [loss(params, state, (X[i::3], Y[i::3]), KEY)[0] for i in range(3)]
    np.testing.assert_allclose(got, np.mean(each), rtol=gamma(60))


@pytest.mark.slow
def test_each_part_draws_masks_of_its_own() -> None:
    def masks(outputs, targets):
        return jnp.mean(outputs * targets, axis=1)

    problem = hondo.supervised(linen.Dropout(0.5, deterministic=None), loss=masks)
    x, places = np.ones((4, 16), np.float32), np.repeat(2.0 ** -np.arange(16)[None], 4, axis=0)

    def drawn(loss, key):
        value = jax.jit(jax.grad(lambda y: loss({}, {}, (x, y), key)[0]))
        return np.asarray(value(places.astype(np.float32))) > 0

    mask = drawn(microbatched(problem.loss, 2), KEY)
    assert not (mask[0::2] == mask[1::2]).all()
    assert (mask == drawn(microbatched(problem.loss, 2), KEY)).all()
    assert not (mask == drawn(microbatched(problem.loss, 2), jax.random.key(1))).all()


class Mean(linen.Module):
    """One output for all examples."""

    @linen.compact
    def __call__(self, x):
        return linen.Dense(3)(x).mean(axis=0)


def of_mean(outputs, targets):
    """A loss of every example by that one output."""
    return jnp.broadcast_to(jnp.sum(outputs), targets.shape)


REFUSED = {
    "got batch_stats.BatchNorm_0.mean, which each microbatch changes": supervised(killed_run.Net()),
    "got norm.mean.value, which each microbatch changes": supervised(
        partial(NnxNormed, norm=nnx.BatchNorm)
    ),
    r"an output of the model must be \(4, …\), one for each example": hondo.supervised(
        Mean(), loss=of_mean
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_model_that_cannot_be_divided_is_refused(words) -> None:
    problem = REFUSED[words]
    params, state = problem.init(KEY, (X, Y))
    with pytest.raises(ValueError, match=words):
        microbatched(problem.loss, 3)(params, state, (X, Y), KEY)


def test_losses_and_sizes_that_do_not_fit_are_refused() -> None:
    def own(params, state, batch, key):
        return jnp.zeros(()), (state, {})

    for loss in (own, hondo.penalized(own, PENALTY), hondo.noisy_parameters(own, std=0.1)):
        with pytest.raises(ValueError, match="loss must be one with a method microbatched"):
            microbatched(loss, 2)
    with pytest.raises(ValueError, match="microbatches must be a divisor of the batch size, 8"):
        killed_run.run(None, fit=hondo.stream, microbatches=3)


@pytest.mark.slow
def test_a_stream_in_microbatches_is_the_stream(tmp_path) -> None:
    run = partial(
        killed_run.run, fit=hondo.stream, problem=supervised(Net()), max_epochs=3, save_every=None
    )
    got, want = run(tmp_path, microbatches=4), run(None)
    for one, other in zip(jax.tree.leaves(got.best), jax.tree.leaves(want.best), strict=True):
        # 12 steps of sums of at most 8 · 5 terms, and a momentum that adds up ten steps.
        np.testing.assert_allclose(one, other, rtol=0, atol=10 * 12 * gamma(40))
    with pytest.raises(ValueError, match="microbatches is 4 there and 2 here"):
        run(tmp_path, microbatches=2)


@pytest.mark.slow
def test_the_activations_of_one_part_are_in_memory() -> None:
    layers = [linen.Dense(64), jnp.tanh] * 4
    problem = hondo.supervised(linen.Sequential(layers), loss=lambda outputs, _: outputs.mean(1))
    batch = jnp.ones((4096, 64)), jnp.ones(4096)
    params, state = problem.init(KEY, batch)

    def count_bytes(loss) -> int:
        gradient = jax.jit(jax.grad(lambda params: loss(params, state, batch, KEY)[0]))
        return gradient.lower(params).compile().memory_analysis().temp_size_in_bytes

    one, outputs = 4096 * 64 * 4, 2
    parts = count_bytes(microbatched(problem.loss, 16))
    assert count_bytes(problem.loss) >= 4 * one
    # Beside a sixteenth of the activations, the outputs of all and what is made of them.
    assert parts <= (outputs + 1) * one
