"""The linen modules hold to their functions, and to Flax's variables."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import assert_binomial, gamma, normal
from flax import linen as nn

import hondo
from hondo.linen import (
    BatchNorm,
    DeepMLP,
    Dropout,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    PlainMLP,
    PreActResNet,
    Repeat,
    Residual,
    RMSNorm,
    commit_moments,
    hold_moments,
)

pytestmark = [pytest.mark.slow, pytest.mark.compile_quickly]

KEY = jax.random.key(0)
X = normal(1, 16, 6) * 2 + 3


@pytest.mark.rounding
def test_batch_norm_is_the_function() -> None:
    module = BatchNorm(decay=0.9)
    variables = module.init(KEY, X, train=True)
    assert set(variables["params"]) == {"scale", "bias"}
    assert set(variables["batch_stats"]) == {"mean", "var", "weight"}
    y, new = module.apply(variables, X, train=True, mutable=["batch_stats"])
    stats = hondo.init_batch_stats(6)
    scale, bias = jnp.ones(6), jnp.zeros(6)
    want, stats = hondo.batch_norm(X, stats, scale, bias, decay=0.9, epsilon=1e-5)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(new["batch_stats"]["mean"], stats.mean)
    np.testing.assert_array_equal(new["batch_stats"]["var"], stats.var)
    inferred = module.apply(new | {"params": variables["params"]}, X, train=False)
    # The running statistics are those of the one batch seen, but for the unbiased variance.
    np.testing.assert_allclose(
        inferred,
        hondo.batch_norm_inference(X, stats, scale, bias, epsilon=1e-5),
        rtol=0,
        atol=gamma(8) * 4,
    )


@pytest.mark.rounding
@pytest.mark.promise(8)
def test_variables_trained_with_flax_load_and_infer_the_same() -> None:
    theirs = nn.BatchNorm(use_running_average=False, momentum=0.8)
    variables = theirs.init(KEY, X)
    for _ in range(3):
        _, new = theirs.apply(variables, X, mutable=["batch_stats"])
        variables = variables | new
    want = nn.BatchNorm(use_running_average=True).apply(variables, X)
    got = BatchNorm().apply(variables, X, train=False)
    # Both take a difference, a root, a quotient and a product of values up to a few units.
    bound = gamma(10) * float(jnp.max(jnp.abs(X)) / jnp.sqrt(variables["batch_stats"]["var"].min()))
    np.testing.assert_allclose(got, want, rtol=0, atol=2 * bound)
    # Training goes on from there as from complete averages.
    ours = BatchNorm(decay=0.8, ddof=0)
    _, new = ours.apply(variables, X, train=True, mutable=["batch_stats"])
    for name, batch in (("mean", np.mean), ("var", np.var)):
        old = np.float64(variables["batch_stats"][name])
        want = 0.8 * old + 0.2 * batch(np.float64(X), axis=0)
        np.testing.assert_allclose(new["batch_stats"][name], want, rtol=gamma(64))
    held = hold_moments(variables)
    _, new = ours.apply(held, X, train=True, mutable=["batch_moments"])
    got = commit_moments(held | new, decay=0.8, ddof=0)["batch_stats"]["var"]
    np.testing.assert_allclose(got, want, rtol=gamma(64))


@pytest.mark.rounding
def test_inference_never_writes() -> None:
    module = BatchNorm()
    variables = module.init(KEY, X, train=True)
    _, new = module.apply(variables, X, train=False, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], variables["batch_stats"])


@pytest.mark.rounding
def test_dropout_drops_at_its_rate_and_only_in_training() -> None:
    x = jnp.ones(2**16)
    y = Dropout(0.3).apply({}, x, train=True, rngs={"dropout": KEY})
    assert_binomial(int(jnp.sum(y != 0)), x.size, 0.7)
    np.testing.assert_array_equal(Dropout(0.3).apply({}, x, train=False), x)
    raw = Dropout(0.3).apply({}, x, train=True, rngs={"dropout": jax.random.PRNGKey(0)})
    assert_binomial(int(jnp.sum(raw != 0)), x.size, 0.7)


@pytest.mark.parametrize(
    "module", [Dropout(0.1), BatchNorm(), Residual(BatchNorm()), Repeat(Dropout(0.1), 2)]
)
def test_the_mode_is_required(module) -> None:
    with pytest.raises(ValueError, match="train must be"):
        module.init(KEY, X)


@pytest.mark.parametrize("net", [DeepMLP(3), PlainMLP(3)])
def test_networks_require_the_mode(net) -> None:
    with pytest.raises(TypeError, match="train"):
        net.init(KEY, X)


IMAGES = normal(2, 4, 5, 5, 6)


@pytest.mark.rounding
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (LayerNorm(), nn.LayerNorm(use_fast_variance=False)),
        (GroupNorm(3), nn.GroupNorm(3, use_fast_variance=False)),
        (InstanceNorm(), nn.InstanceNorm(use_fast_variance=False)),
        (RMSNorm(), nn.RMSNorm()),
    ],
)
def test_the_norms_load_flaxs_parameters_and_do_the_same(ours, theirs) -> None:
    variables = theirs.init(KEY, IMAGES)
    variables = jax.tree.map(lambda leaf: normal(0, *leaf.shape), variables)
    got = ours.apply(variables, IMAGES, train=True)
    assert jax.tree.structure(ours.init(KEY, IMAGES, train=True)) == jax.tree.structure(variables)
    # Means of up to 25·6 entries in either, and values of a few units.
    size = float(jnp.max(jnp.abs(got)))
    want = theirs.apply(variables, IMAGES)
    np.testing.assert_allclose(got, want, rtol=0, atol=2 * gamma(150 + 16) * size)
    np.testing.assert_array_equal(ours.apply(variables, IMAGES, train=False), got)


class Shared(nn.Module):
    """One norm, called for two batches."""

    @nn.compact
    def __call__(self, x, *, train):
        norm = BatchNorm(decay=0.9)
        return norm(x[:4], train=train), norm(x[4:], train=train)


def whole_update(variables, x):
    return BatchNorm(decay=0.9).apply(variables, x, train=True, mutable=["batch_stats"])[1]


@pytest.mark.rounding
@pytest.mark.promise(7)
def test_microbatches_count_as_one_update() -> None:
    module = BatchNorm()
    start = module.init(KEY, X, train=True)
    held = hold_moments(start)

    def step(held, x):
        _, new = module.apply(held, x, train=True, mutable=["batch_stats", "batch_moments"])
        return held | new, None

    held, _ = jax.lax.scan(step, held, X.reshape(4, 4, 6))
    np.testing.assert_array_equal(held["batch_stats"]["weight"], np.zeros(6))
    got, want = commit_moments(held, decay=0.9), whole_update(start, X)
    assert set(got) == {"params", "batch_stats"}
    for name, value in want["batch_stats"].items():
        np.testing.assert_allclose(got["batch_stats"][name], value, rtol=gamma(128))


@pytest.mark.rounding
@pytest.mark.promise(7)
def test_calls_count_as_one_update() -> None:
    start = Shared().init(KEY, X, train=True)
    _, new = Shared().apply(hold_moments(start), X, train=True, mutable=["batch_moments"])
    got = commit_moments(start | new, decay=0.9)["batch_stats"]["BatchNorm_0"]
    alone = {"params": start["params"]["BatchNorm_0"]}
    want = whole_update(alone | {"batch_stats": start["batch_stats"]["BatchNorm_0"]}, X)
    for name, value in want["batch_stats"].items():
        np.testing.assert_allclose(got[name], value, rtol=gamma(128))


@pytest.mark.rounding
@pytest.mark.promise(7)
def test_remat_counts_once_and_stacks_hold_too() -> None:
    def trained(remat):
        net = Repeat(Noisy(), depth=3, remat=remat)
        variables = net.init(KEY, X, train=False)

        def loss(params):
            y, new = net.apply(
                variables | {"params": params}, X, train=True, rngs=KEY, mutable=["batch_stats"]
            )
            return jnp.sum(jnp.sin(y)), new

        return net, variables, jax.grad(loss, has_aux=True)(variables["params"])[1]

    net, variables, plain = trained(False)
    jax.tree.map(np.testing.assert_array_equal, trained(True)[2], plain)
    _, new = net.apply(hold_moments(variables), X, train=True, rngs=KEY, mutable=["batch_moments"])
    got = commit_moments(variables | new, decay=0.99)["batch_stats"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=gamma(8)), got, plain["batch_stats"]
    )


def test_held_moments_need_statistics_and_a_start() -> None:
    with pytest.raises(ValueError, match=r"batch_stats.*got \['params'\]"):
        hold_moments({"params": {}})
    variables = BatchNorm().init(KEY, X, train=True)
    with pytest.raises(ValueError, match="hold_moments"):
        commit_moments(variables, decay=0.9)
    with pytest.raises(ValueError, match="decay must be"):
        commit_moments(hold_moments(variables), decay=1.5)


class Double(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return 2 * x


@pytest.mark.rounding
def test_residual_adds() -> None:
    np.testing.assert_array_equal(Residual(Double()).apply({}, X, train=False), 3 * X)


class Projected(nn.Module):
    """A projection shortcut with its norm, as in He et al. 2015b."""

    @nn.compact
    def __call__(self, x, *, train):
        return BatchNorm()(nn.Dense(3)(x), train=train)


@pytest.mark.rounding
def test_residual_tells_train_to_whoever_takes_it() -> None:
    block = Residual(nn.Dense(3), shortcut=Projected())
    variables = block.init(KEY, X, train=True)
    y, new = block.apply(variables, X, train=True, mutable=["batch_stats"])
    params, stats = variables["params"], variables["batch_stats"]["shortcut"]
    skip, after = Projected().apply(
        {"params": params["shortcut"], "batch_stats": stats}, X, train=True, mutable=["batch_stats"]
    )
    branch = nn.Dense(3).apply({"params": params["branch"]}, X)
    np.testing.assert_array_equal(y, skip + branch)
    jax.tree.map(
        np.testing.assert_array_equal, new["batch_stats"]["shortcut"], after["batch_stats"]
    )


@pytest.mark.rounding
def test_repeat_takes_blocks_without_train() -> None:
    y, variables = Repeat(nn.Dense(6), depth=3).init_with_output(KEY, X, train=True)
    kernels, biases = variables["params"]["block"]["kernel"], variables["params"]["block"]["bias"]
    want = X
    for kernel, bias in zip(kernels, biases, strict=True):
        want = nn.Dense(6).apply({"params": {"kernel": kernel, "bias": bias}}, want)
    # Three products of six terms each, in either.
    np.testing.assert_allclose(y, want, rtol=0, atol=gamma(64) * float(jnp.max(jnp.abs(y))))


class Noisy(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = Dropout(0.5)(nn.Dense(6)(x), train=train)
        return BatchNorm()(x, train=train)


@pytest.mark.rounding
def test_repeat_stacks_parameters_statistics_and_streams() -> None:
    module = Repeat(Noisy(), depth=4)
    variables = module.init(KEY, X, train=False)
    kernels = jax.tree.leaves(
        jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf if "kernel" in jax.tree_util.keystr(path) else None,
            variables["params"],
        )
    )
    assert kernels[0].shape == (4, 6, 6)
    assert not np.array_equal(kernels[0][0], kernels[0][1])
    for leaf in jax.tree.leaves(variables["batch_stats"]):
        assert leaf.shape == (4, 6)
    y, _ = module.apply(variables, X, train=True, rngs=KEY, mutable=["batch_stats"])
    remat = Repeat(Noisy(), depth=4, remat=True)
    again, _ = remat.apply(variables, X, train=True, rngs=KEY, mutable=["batch_stats"])
    np.testing.assert_array_equal(y, again)


@pytest.mark.rounding
@pytest.mark.promise(4)
def test_the_program_of_a_deep_network_does_not_grow() -> None:
    def size(depth):
        net = DeepMLP(3, depth=depth, width=6)
        variables = jax.eval_shape(lambda: net.init(KEY, X, train=False))
        lowered = jax.jit(lambda v, x: net.apply(v, x, train=False)).lower(variables, X)
        return len(lowered.as_text().splitlines())

    assert size(20) == size(1000)


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (DeepMLP(3, depth=6, width=8), X),
        (DeepMLP(3, depth=6, width=8, norm=None, residual=False, rate=0.0), X),
        (PlainMLP(3, depth=6, width=8), X),
        (PreActResNet(3, width=4), jnp.ones((2, 8, 8, 1))),
        (PreActResNet(3, depth=14, width=4, residual=False, norm=None), jnp.ones((2, 8, 8, 1))),
    ],
)
def test_the_networks_run_forward_and_backward(net, x) -> None:
    variables = net.init(KEY, x, train=False)

    def loss(params):
        state = {name: value for name, value in variables.items() if name != "params"}
        y, _ = net.apply({"params": params, **state}, x, train=True, rngs=KEY, mutable=list(state))
        assert y.shape == (x.shape[0], 3)
        return jnp.sum(y**2)

    for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(variables["params"])):
        assert bool(jnp.isfinite(leaf).all())


@pytest.mark.parametrize(
    ("make", "x"),
    [(partial(DeepMLP, depth=6), X), (PlainMLP, X), (PreActResNet, jnp.ones((2, 8, 8, 1)))],
)
def test_the_networks_compute_in_their_dtype(make, x) -> None:
    net = make(3, width=8, dtype=jnp.bfloat16)
    variables = net.init(KEY, x, train=False)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    state = list(set(variables) - {"params"})
    y, new = net.apply(variables, x, train=True, rngs=KEY, mutable=state)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} <= {jnp.dtype(jnp.float32)}
    jaxpr = str(jax.make_jaxpr(lambda x: net.apply(variables, x, train=False))(x))
    products = [line for line in jaxpr.splitlines() if "dot_general" in line or "conv_gen" in line]
    assert products
    assert all("bf16" in line.split("=")[0] for line in products)


@pytest.mark.parametrize("net", [DeepMLP(3, depth=5), DeepMLP(3, depth=2), PlainMLP(3, depth=2)])
def test_a_depth_that_cannot_be_is_refused(net) -> None:
    with pytest.raises(ValueError, match="depth must be"):
        net.init(KEY, X, train=False)


def test_no_repetition_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be an integer of at least 1"):
        Repeat(nn.Dense(6), 0).init(KEY, X, train=False)


@pytest.mark.rounding
def test_a_rate_may_be_an_array_of_jax() -> None:
    nets = [DeepMLP(3, depth=4, width=8, rate=rate) for rate in (0.5, jnp.float32(0.5))]
    variables = nets[0].init(KEY, X, train=False)
    one, other = (
        net.apply(variables, X, train=True, rngs=KEY, mutable=["batch_stats"])[0] for net in nets
    )
    np.testing.assert_array_equal(one, other)


def test_resnet_depths() -> None:
    with pytest.raises(ValueError, match="6n"):
        PreActResNet(3, depth=10).init(KEY, jnp.ones((1, 8, 8, 1)), train=False)


@pytest.mark.rounding
def test_variables_are_made_outside_of_the_mapped_axis() -> None:
    module = BatchNorm(axis_name="batch")
    variables = module.init(KEY, X, train=True)
    jax.tree.map(np.testing.assert_array_equal, variables, BatchNorm().init(KEY, X, train=True))

    def apply(x):
        return module.apply(variables, x, train=True, mutable=["batch_stats"])[0]

    y = jax.vmap(apply, axis_name="batch")(X.reshape(4, 4, 6))
    want = BatchNorm().apply(variables, X, train=True, mutable=["batch_stats"])[0]
    # Sums of four parts of four beside sums of sixteen, of numbers below 16.
    np.testing.assert_allclose(y.reshape(16, 6), want, rtol=0, atol=16 * gamma(64))


@pytest.mark.rounding
def test_moments_are_held_for_variables_of_flax() -> None:
    theirs = nn.BatchNorm(use_running_average=False)
    variables = theirs.init(KEY, X)
    _, new = BatchNorm().apply(hold_moments(variables), X, train=True, mutable=["batch_moments"])
    after = commit_moments(hold_moments(variables) | new, decay=0.5)["batch_stats"]
    np.testing.assert_allclose(after["mean"], X.mean(0) / 2, rtol=gamma(20))


class Observer(nn.Module):
    """Statistics of another kind, some with a norm's names."""

    @nn.compact
    def __call__(self, x, *, train):
        self.variable("batch_stats", "count", jnp.zeros, ())
        self.variable("batch_stats", "mean", jnp.zeros, (6,))
        self.variable("batch_stats", "var", jnp.ones, (6,))
        return BatchNorm(name="norm")(x, train=train)


@pytest.mark.rounding
def test_statistics_of_an_observer_are_left_alone() -> None:
    start = Observer().init(KEY, X, train=False)
    _, new = Observer().apply(
        hold_moments(start), X, train=True, mutable=["batch_stats", "batch_moments"]
    )
    after = commit_moments(hold_moments(start) | new, decay=0.5)["batch_stats"]
    assert set(after) == {"count", "mean", "var", "norm"}
    np.testing.assert_allclose(after["norm"]["mean"], X.mean(0), rtol=gamma(20))


class Spectral(nn.Module):
    """Statistics of another kind beside those of a norm."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.SpectralNorm(nn.Dense(6))(x, update_stats=train)
        return BatchNorm(decay=0.5)(x, train=train)


@pytest.mark.rounding
def test_statistics_of_other_modules_are_left_alone() -> None:
    start = Spectral().init(KEY, X, train=False)
    held = hold_moments(start)
    jax.tree.map(
        np.testing.assert_array_equal,
        held["batch_stats"]["SpectralNorm_0"],
        start["batch_stats"]["SpectralNorm_0"],
    )
    _, new = Spectral().apply(held, X, train=True, mutable=["batch_stats", "batch_moments"])
    after = commit_moments(held | new, decay=0.5)["batch_stats"]
    _, want = Spectral().apply(start, X, train=True, mutable=["batch_stats"])
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=gamma(64)),
        after,
        want["batch_stats"],
    )
