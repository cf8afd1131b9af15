"""hondo's layers take what Flax's take: modes, axes, masks, dtypes, metadata, keys, and trees."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import gamma, normal
from flax import linen as nn
from flax import nnx, serialization

import hondo
from hondo import linen as hl
from hondo import nnx as hx

pytestmark = [pytest.mark.slow, pytest.mark.compile_quickly]

KEY = jax.random.key(0)
X = normal(1, 16, 6) * 2 + 3
IMAGES = normal(2, 3, 4, 5, 6) * 2 + 3
# Along every axis at least two entries are valid.
VALID = np.random.default_rng(0).random(IMAGES.shape) < 0.7
VALID[:, :2] = VALID[:, :, :2] = VALID[..., :4] = True
VALID = jnp.asarray(VALID)
DROPPED = {"dropout": KEY}


def assert_same(got, want) -> None:
    jax.tree.map(np.testing.assert_array_equal, got, want)


def rngs() -> nnx.Rngs:
    return nnx.Rngs(0)


# Modes


@pytest.mark.rounding
@pytest.mark.parametrize(
    ("call", "inference"),
    [
        ({"train": True}, False),
        ({"train": False}, True),
        ({"use_running_average": True}, True),
        ({"use_running_average": False}, False),
        ({"train": False, "use_running_average": True}, True),
    ],
)
@pytest.mark.parametrize("held", [None, True, False])
def test_the_mode_of_the_call_wins_over_that_of_the_layer(call, inference, held) -> None:
    variables = hl.BatchNorm().init(KEY, X, True)
    want = hl.BatchNorm().apply(variables, X, not inference, mutable=["batch_stats"])
    linen = hl.BatchNorm(use_running_average=held)
    assert_same(linen.apply(variables, X, **call, mutable=["batch_stats"]), want)
    of_nnx = hx.BatchNorm(6, use_running_average=held, rngs=rngs())
    np.testing.assert_array_equal(of_nnx(X, **call), want[0])
    words = {"deterministic" if name != "train" else name: value for name, value in call.items()}
    for drop in (
        partial(hl.Dropout(0.5, deterministic=held).apply, {}, X, rngs=DROPPED),
        partial(hx.Dropout(0.5, deterministic=held, rngs=rngs()), X),
    ):
        assert np.array_equal(drop(**words), X) == inference


@pytest.mark.rounding
@pytest.mark.parametrize("inference", [True, False])
def test_a_call_without_a_mode_has_that_of_the_layer(inference) -> None:
    variables = hl.BatchNorm().init(KEY, X, True)
    linen = hl.BatchNorm(use_running_average=inference)
    want = hl.BatchNorm().apply(variables, X, not inference, mutable=["batch_stats"])
    assert_same(linen.apply(variables, X, mutable=["batch_stats"]), want)
    drop = hl.Dropout(0.5, deterministic=inference)
    assert np.array_equal(drop.apply({}, X, rngs=DROPPED), X) == inference


def test_two_words_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="use_running_average must be False beside train=True"):
        hl.BatchNorm().init(KEY, X, True, use_running_average=True)
    with pytest.raises(ValueError, match="deterministic must be True beside train=False"):
        hx.Dropout(0.5)(X, False, deterministic=False)


class Net(nnx.Module):
    """A network as one writes it with nnx: no call says the mode."""

    def __init__(self, rngs):
        self.dense, self.norm = nnx.Linear(6, 6, rngs=rngs), hx.BatchNorm(6, rngs=rngs)
        self.dropout = hx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.dense(x)))


def deep(rngs) -> nnx.Module:
    return hx.Repeat(lambda rngs: hx.Residual(Net(rngs)), 2, rngs=rngs)


@pytest.mark.rounding
@pytest.mark.parametrize("make", [Net, deep])
def test_train_and_eval_and_views_set_the_mode(make) -> None:
    net = make(rngs())
    with pytest.raises(ValueError, match="train must be True or False, got None"):
        net(X)
    net.train()
    assert not np.array_equal(net(X), net(X))
    before = nnx.to_pure_dict(nnx.state(net, nnx.BatchStat))
    net.eval()
    np.testing.assert_array_equal(net(X), net(X))
    assert_same(nnx.to_pure_dict(nnx.state(net, nnx.BatchStat)), before)
    view = nnx.view(net, deterministic=False, use_running_average=True)
    assert not np.array_equal(view(X), net(X))
    assert_same(nnx.to_pure_dict(nnx.state(net, nnx.BatchStat)), before)
    view = nnx.view(net, only=hx.BatchNorm, use_running_average=False)
    assert not np.array_equal(view(X), net(X))
    np.testing.assert_array_equal(view(X), view(X))


def test_fit_trains_a_network_that_says_no_mode() -> None:
    data = X, jnp.arange(16) % 6
    problem = hondo.supervised(Net, loss="cross_entropy")
    stopper = hondo.early_stopping(1, mode="min")
    options = {"key": KEY, "batch_size": 8, "max_epochs": 1, "stopper": stopper}
    result = hondo.fit(problem, optax.sgd(0.1), data, data, **options)
    assert bool(jnp.any(result.last.model_state["norm"]["weight"][...] > 0))


@pytest.mark.rounding
@pytest.mark.parametrize("module", [hl, nn])
def test_a_frozen_norm_stays_frozen_in_blocks_networks_and_fit(module) -> None:
    frozen = partial(module.BatchNorm, use_running_average=True)
    nets = (
        hl.Residual(frozen()),
        hl.Repeat(frozen(), 2),
        hl.DeepMLP(6, depth=4, width=6, norm=frozen),
    )
    for net in nets:
        variables = net.init(KEY, X, False)
        _, new = net.apply(variables, X, True, rngs=KEY, mutable=["batch_stats"])
        assert_same(new["batch_stats"], variables["batch_stats"])
    problem = hondo.supervised(frozen(), loss="squared_error")
    params, state = problem.init(KEY, (X, X))
    assert_same(problem.loss(params, state, (X, X), KEY)[1][0], state)


@pytest.mark.rounding
def test_a_layer_around_a_layer_hands_the_mode_on() -> None:
    for wrapped in (hl.WeightNorm(nn.Dense(6)), nn.WeightNorm(nn.Dense(6))):
        assert hl.Residual(wrapped).init_with_output(KEY, X, True)[0].shape == X.shape
    drop = hl.Residual(hl.WeightNorm(hl.Dropout(0.5)))
    np.testing.assert_array_equal(drop.apply({}, X, False), 2 * X)


# Statistics that come from Flax


def flax_variables(steps=40):
    theirs = nn.BatchNorm(use_running_average=False, momentum=0.9)
    variables = theirs.init(KEY, X)
    for _ in range(steps):
        _, new = theirs.apply(variables, X, mutable=["batch_stats"])
        variables = variables | new
    return variables


@pytest.mark.rounding
@pytest.mark.parametrize("load", ["update", "merge", "pure"])
@pytest.mark.parametrize("hold", [False, True])
def test_averages_of_flax_go_on_from_where_they_are(load, hold) -> None:
    theirs = nnx.BatchNorm(6, momentum=0.9, rngs=rngs())
    for _ in range(40):
        theirs(X)
    ours = hx.BatchNorm(6, decay=0.9, ddof=0, rngs=rngs())
    if load == "update":
        nnx.update(ours, nnx.state(theirs))
    elif load == "merge":
        graph, state = nnx.split(ours)
        ours = nnx.merge(graph, nnx.merge_state(state, nnx.state(theirs)))
    else:
        state = nnx.state(ours)
        nnx.replace_by_pure_dict(state, nnx.to_pure_dict(nnx.state(theirs)))
        nnx.update(ours, state)
    if hold:
        hx.hold_moments(ours)
    ours(X + 10, train=True)
    if hold:
        hx.commit_moments(ours)
    theirs(X + 10)
    # A tenth of about 13 and nine of about 3; sums of 16. Theirs would lose its digits at X + 100.
    np.testing.assert_allclose(ours.mean[...], theirs.mean[...], rtol=gamma(64))
    np.testing.assert_allclose(ours.var[...], theirs.var[...], rtol=gamma(1000))
    np.testing.assert_array_equal(ours.weight[...], np.ones(6))


@pytest.mark.rounding
def test_a_new_layer_is_not_mistaken_for_a_loaded_one() -> None:
    for first in (X, jnp.zeros_like(X), X - X.mean(0, keepdims=True)):
        norm = hx.BatchNorm(6, decay=0.9, rngs=rngs())
        nnx.update(norm, nnx.state(nnx.BatchNorm(6, rngs=rngs())))
        norm(first, train=True)
        np.testing.assert_allclose(
            norm.mean[...], first.mean(0), rtol=gamma(64), atol=8 * gamma(64)
        )
        np.testing.assert_allclose(norm.weight[...], 0.1, rtol=gamma(8))


@pytest.mark.rounding
def test_averages_beside_a_weight_of_zero_are_complete_in_linen_too() -> None:
    ours, theirs = hl.BatchNorm(decay=0.9, ddof=0), flax_variables()
    stats = {**ours.init(KEY, X, True)["batch_stats"], **theirs["batch_stats"]}
    got = ours.apply(theirs | {"batch_stats": stats}, X + 100, True, mutable=["batch_stats"])[1]
    want = ours.apply(theirs, X + 100, True, mutable=["batch_stats"])[1]["batch_stats"]
    assert_same({name: got["batch_stats"][name] for name in want}, want)


@pytest.mark.rounding
@pytest.mark.parametrize("axis", [-1, 1, (1, -1)])
@pytest.mark.parametrize("mask", [None, VALID])
def test_momentum_is_flaxs_rule_in_flaxs_tree(axis, mask) -> None:
    options = {"momentum": 0.8, "axis": axis, "use_running_average": False}
    libraries = [nn.BatchNorm(**options, use_fast_variance=False), hl.BatchNorm(**options)]
    want, got = (norm.init(KEY, IMAGES) for norm in libraries)
    assert_same(got, want)
    features = want["batch_stats"]["mean"].size
    of_nnx = hx.BatchNorm(features, **options, rngs=rngs())
    for x in (IMAGES, IMAGES - 5, 2 * IMAGES):
        want, got = (
            {**old, **norm.apply(old, x, mask=mask, mutable=["batch_stats"])[1]}
            for norm, old in zip(libraries, (want, got), strict=True)
        )
        of_nnx(x, mask=mask)
    # Means of at most 60 entries near 10, variances near 16.
    close = partial(np.testing.assert_allclose, rtol=gamma(1000), atol=10 * gamma(200))
    jax.tree.map(close, got, want)
    close(of_nnx.mean[...], want["batch_stats"]["mean"].reshape(-1))
    close(of_nnx.var[...], want["batch_stats"]["var"].reshape(-1))


@pytest.mark.rounding
def test_momentum_in_nnx_has_flaxs_state() -> None:
    theirs, ours = (m.BatchNorm(6, momentum=0.9, rngs=rngs()) for m in (nnx, hx))
    theirs(X)
    merged = nnx.merge(nnx.graphdef(ours), nnx.state(theirs))
    assert set(nnx.state(merged)) == {"scale", "bias", "mean", "var"}
    assert_same(nnx.to_pure_dict(nnx.state(merged)), nnx.to_pure_dict(nnx.state(theirs)))


@pytest.mark.rounding
def test_momentum_keeps_what_flax_would_lose_or_what_it_does_not_know() -> None:
    norm, ours = hl.BatchNorm(momentum=0.9), hl.BatchNorm()
    variables = ours.init(KEY, X, True)
    _, new = norm.apply(variables, X, True, mutable=["batch_stats"])
    assert_same(new["batch_stats"]["weight"], variables["batch_stats"]["weight"])
    np.testing.assert_allclose(new["batch_stats"]["mean"], X.mean(0) / 10, rtol=gamma(64))
    nothing = jnp.zeros(6, bool)
    _, kept = norm.apply({**variables, **new}, X, True, mask=nothing, mutable=["batch_stats"])
    assert_same(kept, new)


@pytest.mark.rounding
@pytest.mark.parametrize("ddof", [None, 0, 1])
def test_momentum_says_which_variance_unless_ddof_does(ddof) -> None:
    want = 0.9 + 0.1 * np.var(np.float64(X), 0, ddof=ddof or 0)
    norm = hl.BatchNorm(momentum=0.9, ddof=ddof)
    variables = norm.init(KEY, X, True)
    _, new = norm.apply(variables, X, True, mutable=["batch_stats"])
    np.testing.assert_allclose(new["batch_stats"]["var"], want, rtol=gamma(64))
    of_nnx = hx.BatchNorm(6, momentum=0.9, ddof=ddof, rngs=rngs())
    of_nnx(X, True)
    np.testing.assert_allclose(of_nnx.var[...], want, rtol=gamma(64))


@pytest.mark.rounding
def test_microbatches_by_momentum_are_one_step() -> None:
    norm = hl.Repeat(hl.BatchNorm(momentum=0.9), 2, remat=True)
    variables = norm.init(KEY, X, True)
    assert set(variables["batch_stats"]["block"]) == {"mean", "var"}
    _, want = norm.apply(variables, X, True, mutable=["batch_stats"])
    held = hl.hold_moments(variables)
    _, new = norm.apply(held, X, True, mutable=["batch_moments"])
    got = hl.commit_moments({**held, **new}, decay=0.9, ddof=0)["batch_stats"]
    close = partial(np.testing.assert_allclose, rtol=gamma(64), atol=gamma(64))
    jax.tree.map(close, got, want["batch_stats"])
    whole, parts = (hx.BatchNorm(6, momentum=0.9, rngs=rngs()) for _ in range(2))
    whole(X, True)
    hx.hold_moments(parts)
    parts(X[:5], True), parts(X[5:], True)
    hx.commit_moments(parts)
    assert nnx.graphdef(parts) == nnx.graphdef(whole)
    jax.tree.map(close, *(nnx.to_pure_dict(nnx.state(norm)) for norm in (parts, whole)))


class Tower(nn.Module):
    """A norm by itself and a stack of them, of either library."""

    norm: type[nn.Module]

    @nn.compact
    def __call__(self, x, train):
        x = self.norm(name="first")(x, use_running_average=not train)
        return hl.Repeat(self.norm(), 2)(x, train)


def test_a_tree_of_flax_keeps_its_structure() -> None:
    variables = Tower(nn.BatchNorm).init(KEY, X, False)
    restored = serialization.from_bytes(variables, serialization.to_bytes(variables))
    net = Tower(hl.BatchNorm)

    def step(stats, x):
        _, new = net.apply({**restored, "batch_stats": stats}, x, True, mutable=["batch_stats"])
        return new["batch_stats"], None

    stats, _ = jax.lax.scan(step, restored["batch_stats"], jnp.stack([X, X + 1]))
    assert jax.tree.structure(stats) == jax.tree.structure(restored["batch_stats"])
    np.testing.assert_allclose(stats["first"]["mean"], (0.99 * X + X + 1).mean(0) / 100, rtol=1e-5)
    held = hl.hold_moments(restored)
    assert jax.tree.structure(held["batch_stats"]) == jax.tree.structure(stats)
    _, new = net.apply(held, X, True, mutable=["batch_stats", "batch_moments"])
    committed = hl.commit_moments({**held, **new}, decay=0.99)
    assert jax.tree.structure(committed) == jax.tree.structure(restored)


@pytest.mark.rounding
def test_a_tree_made_at_the_first_step_has_a_weight() -> None:
    _, new = hl.BatchNorm(use_scale=False, use_bias=False).apply({}, X, True, mutable=True)
    assert set(new["batch_stats"]) == {"mean", "var", "weight"}
    np.testing.assert_allclose(new["batch_stats"]["mean"], X.mean(0), rtol=gamma(64))


# Norms over axes, of valid entries, in dtypes


def oracle(x, axes, valid, epsilon, centered=True) -> np.ndarray:
    """The four lines in float64."""
    x, valid = np.float64(x), np.broadcast_to(True if valid is None else valid, x.shape)
    mean = np.mean(x, axes, where=valid, keepdims=True) if centered else 0.0
    var = np.mean((x - mean) ** 2, axes, where=valid, keepdims=True)
    return (x - mean) / np.sqrt(var + epsilon)


def grouped_oracle(x, axes, valid, epsilon, groups) -> np.ndarray:
    shape = (*x.shape[:-1], groups, -1)
    valid = None if valid is None else np.broadcast_to(valid, x.shape).reshape(shape)
    return oracle(x.reshape(shape), axes, valid, epsilon).reshape(x.shape)


NORMS = [
    ("LayerNorm", {"reduction_axes": (1, 2), "feature_axes": (2, 3)}, partial(oracle, axes=(1, 2))),
    ("LayerNorm", {"reduction_axes": -3, "feature_axes": (1, -1)}, partial(oracle, axes=1)),
    ("LayerNorm", {}, partial(oracle, axes=3)),
    (
        "RMSNorm",
        {"reduction_axes": (1, 3), "feature_axes": 2},
        partial(oracle, axes=(1, 3), centered=False),
    ),
    ("RMSNorm", {}, partial(oracle, axes=3, centered=False)),
    ("GroupNorm", {"num_groups": 2}, partial(grouped_oracle, axes=(1, 2, 4), groups=2)),
    ("GroupNorm", {"group_size": 2}, partial(grouped_oracle, axes=(1, 2, 4), groups=3)),
    (
        "GroupNorm",
        {"groups": 3, "reduction_axes": (-2, -1)},
        partial(grouped_oracle, axes=(2, 4), groups=3),
    ),
    ("InstanceNorm", {"feature_axes": (1, 3)}, partial(oracle, axes=2)),
    ("InstanceNorm", {}, partial(oracle, axes=(1, 2))),
]


@pytest.mark.rounding
@pytest.mark.parametrize("mask", [None, VALID, np.asarray(VALID[:1, ..., :1])])
@pytest.mark.parametrize(("name", "options", "want"), NORMS)
def test_norms_over_any_axes_and_of_valid_entries(name, options, want, mask) -> None:
    xhat = want(np.asarray(IMAGES), valid=mask, epsilon=1e-6)
    x = IMAGES if mask is None else jnp.where(mask, IMAGES, jnp.nan)
    valid = np.broadcast_to(True if mask is None else mask, x.shape)
    got = getattr(hl, name)(**options).init_with_output(KEY, x, mask=mask)[0]
    # Sums of at most 150 entries, of variances near 4; x̂ of a few units.
    np.testing.assert_allclose(got[valid], xhat[valid], rtol=0, atol=8 * gamma(2000))
    np.testing.assert_array_equal(np.asarray(got)[~valid], 0)
    count = {"feature_axes": {(2, 3): 30, (1, -1): 24, (1, 3): 24, 2: 5}}["feature_axes"]
    features = count.get(options.get("feature_axes"), 6)
    of_nnx = getattr(hx, name)(features, **options, rngs=rngs())
    np.testing.assert_array_equal(of_nnx(x, mask=mask), got)


@pytest.mark.rounding
@pytest.mark.parametrize(("name", "options", "want"), NORMS)
def test_parameters_have_flaxs_shapes_and_values(name, options, want) -> None:
    del want
    draws = {"scale_init": nn.initializers.normal(), "param_dtype": jnp.bfloat16}
    options = (
        options | draws | ({} if name == "RMSNorm" else {"bias_init": nn.initializers.normal()})
    )
    theirs = {("num_groups" if k == "groups" else k): v for k, v in options.items()}
    if "group_size" in theirs:
        theirs["num_groups"] = None
    with jax.numpy_dtype_promotion("standard"):
        variables = getattr(nn, name)(**theirs).init(KEY, IMAGES)
    got, mine = getattr(hl, name)(**options).init_with_output(KEY, IMAGES)
    assert_same(mine, variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(mine)} == {jnp.dtype(jnp.bfloat16)}
    assert got.dtype == jnp.float32


@pytest.mark.rounding
@pytest.mark.parametrize("axis", [1, (1, -1), (0, 2), -1])
@pytest.mark.parametrize("mask", [None, VALID])
def test_channels_along_any_axes(axis, mask) -> None:
    axes = tuple(i % 4 for i in (axis if isinstance(axis, tuple) else (axis,)))
    rest = tuple(i for i in range(4) if i not in axes)
    norm = hl.BatchNorm(axis=axis, decay=0.9)
    variables = norm.init(KEY, IMAGES, True)
    y, new = norm.apply(variables, IMAGES, True, mask=mask, mutable=["batch_stats"])
    xhat = oracle(IMAGES, rest, mask, 1e-5)
    np.testing.assert_allclose(y, xhat, rtol=0, atol=8 * gamma(2000))
    valid = np.broadcast_to(True if mask is None else mask, IMAGES.shape)
    mean = np.mean(np.float64(IMAGES), rest, where=valid)
    np.testing.assert_allclose(new["batch_stats"]["mean"], mean, rtol=gamma(300))
    inferred = norm.apply({**variables, **new}, IMAGES, False)
    var = np.var(np.float64(IMAGES), rest, where=valid, ddof=1)
    want = (IMAGES - np.expand_dims(mean, rest)) / np.sqrt(np.expand_dims(var, rest) + 1e-5)
    np.testing.assert_allclose(inferred, want, rtol=0, atol=8 * gamma(2000))
    held = hl.hold_moments(variables)
    _, moments = norm.apply(held, IMAGES, True, mask=mask, mutable=["batch_moments"])
    assert_same(
        hl.commit_moments({**held, **moments}, decay=0.9)["batch_stats"], new["batch_stats"]
    )
    of_nnx = hx.BatchNorm(int(mean.size), axis=axis, rngs=rngs())
    np.testing.assert_array_equal(of_nnx(IMAGES, True, mask=mask), y)


@pytest.mark.rounding
def test_a_mask_broadcasts_as_in_flax_and_where_from_the_first_axis() -> None:
    x = jnp.where(jnp.arange(6) < 4, jnp.arange(36.0).reshape(6, 6) ** 2, 5.0)
    some, norm = jnp.arange(6) < 4, hl.BatchNorm(decay=0.0)
    variables = norm.init(KEY, x, True)
    new = [
        norm.apply(variables, x, True, **mask, mutable=["batch_stats"])[1]["batch_stats"]
        for mask in (
            {"mask": some},
            {"mask": some[None]},
            {"where": some},
            {"where": some[:, None]},
        )
    ]
    assert_same(new[0], new[1])
    assert_same(new[2], new[3])
    np.testing.assert_array_equal(new[0]["weight"], some)
    np.testing.assert_allclose(new[2]["mean"], x[:4].mean(0), rtol=gamma(20))


@pytest.mark.rounding
@pytest.mark.parametrize("name", ["BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm"])
@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        (None, jnp.float32),
        (None, jnp.bfloat16),
        (jnp.float32, jnp.bfloat16),
        (jnp.bfloat16, jnp.float32),
    ],
)
def test_the_result_has_the_dtype_and_loses_nothing_before(name, dtype, given) -> None:
    x, options = IMAGES.astype(given), {"groups": 2} if name == "GroupNorm" else {}
    make, call = partial(getattr(hl, name), **options), {"train": True}
    variables = make().init(KEY, x, **call)
    got = make(dtype=dtype).apply(variables, x, **call, mutable=["batch_stats"])[0]
    exact = make().apply(variables, x.astype(jnp.float32), **call, mutable=["batch_stats"])[0]
    assert got.dtype == (given if dtype is None else dtype)
    want = exact.astype(got.dtype)
    # The same number, or its neighbor where two programs round a half apart.
    unit = float(jnp.finfo(got.dtype).eps)
    np.testing.assert_allclose(np.float64(got), np.float64(want), rtol=unit, atol=8 * gamma(2000))
    of_nnx = getattr(hx, name)(6, dtype=dtype, **options, rngs=rngs())
    np.testing.assert_array_equal(of_nnx(x, **call), got)


@pytest.mark.rounding
def test_integers_are_normalized_where_a_dtype_is_given() -> None:
    x = jnp.arange(12, dtype=jnp.int32).reshape(2, 6)
    got = hl.LayerNorm(dtype=jnp.float32).init_with_output(KEY, x)[0]
    assert_same(got, hl.LayerNorm().init_with_output(KEY, x.astype(jnp.float32))[0])


@pytest.mark.rounding
@pytest.mark.parametrize(
    ("norm", "x"),
    [
        (partial(hl.LayerNorm, 1e-6), X),
        (partial(hl.RMSNorm, 1e-6), X),
        (partial(hl.GroupNorm, 2, reduction_axes=-1), X),
        (partial(hl.InstanceNorm, 1e-6), IMAGES),
    ],
)
def test_statistics_are_pooled_over_a_mapped_axis(norm, x) -> None:
    variables = norm(axis_name="parts").init(KEY, x)
    parts = jnp.stack([x, x + 1, 2 * x])
    got = jax.vmap(lambda x: norm(axis_name="parts").apply(variables, x), axis_name="parts")(parts)
    # The parts side by side, along an axis that is reduced.
    axis = 1 if x.ndim == 4 else -1
    together = jnp.concatenate(parts, axis)
    shaped = {"reduction_axes": (-1,)} if norm.func is hl.GroupNorm else {}
    if norm.func is hl.GroupNorm:
        rows = parts.reshape(3, 16, 2, 3).transpose(1, 2, 0, 3).reshape(16, 18)
        plain = norm(**shaped).init_with_output(KEY, rows)[0]
        want = plain.reshape(16, 2, 3, 3).transpose(2, 0, 1, 3).reshape(3, 16, 6)
    else:
        plain = norm().init_with_output(KEY, together)[0]
        want = jnp.stack(jnp.split(plain, 3, axis))
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * gamma(2000))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: hl.LayerNorm().init(KEY, X, mask=jnp.ones(5, bool)), "mask must be of a shape"),
        (lambda: hl.LayerNorm(reduction_axes=2).init(KEY, X), "reduction_axes must be axes"),
        (
            lambda: hl.InstanceNorm(feature_axes=0).init(KEY, IMAGES),
            "feature_axes must be axes after",
        ),
        (lambda: hl.GroupNorm(2, reduction_axes=1).init(KEY, IMAGES), "with the last one"),
        (lambda: hl.GroupNorm(2, group_size=3).init(KEY, IMAGES), "group_size must be None beside"),
        (lambda: hl.GroupNorm(group_size=4).init(KEY, IMAGES), "group_size must be a divisor"),
        (lambda: hl.GroupNorm(4).init(KEY, IMAGES, mask=VALID), "groups must be a divisor"),
        (lambda: hl.GroupNorm(2, num_groups=3).init(KEY, IMAGES), "groups must be 3 as num_groups"),
        (lambda: hl.BatchNorm(decay=0.9, momentum=0.9).init(KEY, X, True), "decay must be None"),
        (lambda: hx.BatchNorm(6, decay=0.0, momentum=0.9, rngs=rngs()), "beside momentum=0.9"),
        (
            lambda: hx.BatchNorm(6, num_features=5, rngs=rngs()),
            "features must be 5 as num_features",
        ),
        (lambda: hx.BatchNorm(rngs=rngs()), "features must be an integer"),
        (
            lambda: hl.BatchNorm().init(
                KEY, X, True, mask=jnp.ones(6, bool), where=jnp.ones(6, bool)
            ),
            "where must be None where",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(call, says) -> None:
    with pytest.raises(ValueError, match=says):
        call()


# Keys, metadata, and weights


@pytest.mark.rounding
def test_dropout_takes_its_key_at_the_call() -> None:
    want = hondo.inverted_dropout(KEY, X, keep_prob=0.5)
    raw = jax.random.key_data(KEY)
    for key in (KEY, raw):
        np.testing.assert_array_equal(hl.Dropout(0.5).apply({}, X, True, rng=key), want)
        np.testing.assert_array_equal(hx.Dropout(0.5)(X, True, rngs=key), want)
    made = hx.Dropout(0.5, rngs=nnx.Rngs(dropout=0))
    for source in (nnx.Rngs(dropout=0).fork(), nnx.Rngs(dropout=0)["dropout"].fork()):
        y = hx.Dropout(0.5, rngs=nnx.Rngs(1))(X, True, rngs=source)
        np.testing.assert_array_equal(y, hx.Dropout(0.5, rngs=nnx.Rngs(dropout=0))(X, True))
    assert int(made.rngs.count[...]) == 0
    np.testing.assert_array_equal(hx.Dropout(0.5)(X, False), X)
    with pytest.raises(ValueError, match="rngs must be"):
        hx.Dropout(0.5)(X, True)
    other = hx.Dropout(0.5, rng_collection="mask", rngs=nnx.Rngs(mask=3))
    np.testing.assert_array_equal(other(X, True), hx.Dropout(0.5)(X, True, rngs=nnx.Rngs(3).fork()))


@pytest.mark.rounding
@pytest.mark.parametrize("box", [nn.with_partitioning, nn.with_logical_partitioning])
@pytest.mark.parametrize("name", ["BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm"])
def test_linen_parameters_carry_their_metadata(box, name) -> None:
    options = {"num_groups": 2} if name == "GroupNorm" else {}
    norm = getattr(hl, name)(scale_init=box(nn.initializers.ones, ("features",)), **options)
    variables = norm.init(KEY, IMAGES, True)
    assert nn.get_partition_spec(variables)["params"]["scale"] == jax.P("features")
    plain = getattr(hl, name)(**options)
    got = norm.apply(variables, IMAGES, True, mutable=["batch_stats"])
    assert_same(got, plain.apply(nn.unbox(variables), IMAGES, True, mutable=["batch_stats"]))
    stacked = hl.Repeat(norm, 2).init(KEY, IMAGES, True)
    spec = nn.get_partition_spec(stacked)["params"]["block"]["scale"]
    assert spec == jax.P(None, "features")


@pytest.mark.rounding
@pytest.mark.parametrize("name", ["BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm"])
def test_nnx_parameters_carry_their_metadata(name) -> None:
    options = {"num_groups": 2} if name == "GroupNorm" else {}
    make = partial(getattr(hx, name), num_features=6, **options, rngs=rngs())
    assert make(scale_metadata={"role": "gain"}).scale.role == "gain"
    init = nnx.with_metadata(nnx.initializers.ones, role="gain")
    assert make(scale_init=init).scale.role == "gain"
    if name != "RMSNorm":
        assert make(bias_metadata={"role": "shift"}).bias.role == "shift"
    assert make(promote_dtype=nnx.nn.dtypes.promote_dtype)(IMAGES, True).dtype == jnp.float32
    halves = make(promote_dtype=lambda arrays, dtype: (arrays[0] / 2, *arrays[1:]))(IMAGES, True)
    np.testing.assert_array_equal(halves, make()(IMAGES / 2, True))


@pytest.mark.rounding
@pytest.mark.parametrize("axes", [-1, 0, (0, 1), None])
@pytest.mark.parametrize("names", [{"kernel"}, {"bias"}, None])
def test_weight_norm_loads_flaxs_variables_and_does_the_same(axes, names) -> None:
    if axes in (0, -1, None) or names == {"kernel"}:
        dense = nn.Dense(3, bias_init=nn.initializers.normal())
        axes = axes if names == {"kernel"} or axes is None else -1
        theirs = nn.WeightNorm(dense, feature_axes=axes, variable_filter=names)
        ours = hl.WeightNorm(dense, feature_axes=axes, variable_filter=names)
        variables = theirs.init(KEY, X)
        variables = jax.tree.map(lambda leaf: leaf + 0.5, variables)
        got, want = ours.apply(variables, X), theirs.apply(variables, X)
        np.testing.assert_allclose(got, want, rtol=0, atol=64 * gamma(64))


@pytest.mark.rounding
def test_weight_norm_of_nnx_learns_directions_and_lengths() -> None:
    dense = nnx.Linear(6, 3, rngs=rngs())
    layer = hx.WeightNorm(dense, rngs=rngs())
    layer.scales[("kernel",)][...] = jnp.array([1.0, 2.0, 3.0])
    kernel = dense.kernel[...]
    want = X @ hondo.weight_norm(kernel, jnp.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(layer(X), want, rtol=0, atol=64 * gamma(64))
    np.testing.assert_array_equal(dense.kernel[...], kernel)

    def loss(layer):
        return jnp.sum(jnp.sin(layer(X)))

    gradient = nnx.grad(loss)(layer)
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))
    direction = gradient["layer_instance"]["kernel"][...]
    # Lengths have a gradient of their own: that of a direction is orthogonal to it.
    inner = jnp.sum(direction * kernel, 0) / jnp.linalg.norm(direction) / jnp.linalg.norm(kernel)
    np.testing.assert_allclose(inner, 0, atol=gamma(1000))
    np.testing.assert_array_equal(nnx.jit(lambda layer: layer(X))(layer).shape, (16, 3))
    np.testing.assert_array_equal(dense.kernel[...], kernel)


def test_weight_norm_of_nnx_keeps_the_state_of_the_layer_inside() -> None:
    net = nnx.Sequential(nnx.Linear(6, 6, rngs=rngs()), hx.BatchNorm(6, rngs=rngs()))
    layer = hx.WeightNorm(net, use_scale=False, rngs=rngs())
    layer.train()
    layer(X)
    assert bool(jnp.all(net.layers[1].weight[...] > 0))
    with pytest.raises(TypeError):
        layer(X, nothing=3)
    assert bool(jnp.all(jnp.linalg.norm(net.layers[0].kernel[...], axis=0) != 1))


# Transformations of Flax


LAYERS = [
    partial(hl.BatchNorm, decay=0.5),
    partial(hl.BatchNorm, momentum=0.5),
    partial(hl.Dropout, 0.0),
    hl.LayerNorm,
    partial(hl.GroupNorm, 2),
    hl.InstanceNorm,
    hl.RMSNorm,
    partial(hl.Residual, nn.BatchNorm()),
    partial(hl.Repeat, nn.BatchNorm(), 2),
    partial(hl.WeightNorm, nn.Dense(6)),
]


@pytest.mark.rounding
@pytest.mark.parametrize("make", LAYERS)
def test_scan_of_flax_takes_every_module(make) -> None:
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            options = {"variable_axes": {True: 0}, "split_rngs": {True: True}, "length": 2}
            mode = () if getattr(make, "func", None) is hl.WeightNorm else (train,)
            body = nn.scan(lambda layer, x, _: (layer(x, *mode), None), **options)
            return body(make(name="layer"), x, None)[0]

    rows = X[:, None]
    variables = Stack().init(KEY, rows, True)
    for train in (True, False):
        state = list(set(variables) - {"params"})
        got = Stack().apply(variables, rows, train, mutable=state)[0]
        want = rows
        for i in range(2):
            mine = {name: tree["layer"] for name, tree in variables.items()}
            mine = jax.tree.map(lambda leaf, i=i: leaf[i], mine)
            mode = () if getattr(make, "func", None) is hl.WeightNorm else (train,)
            want = make().apply(mine, want, *mode, mutable=state)[0]
        np.testing.assert_allclose(got, want, rtol=0, atol=16 * gamma(2000))


NNX = [
    hx.BatchNorm,
    partial(hx.BatchNorm, momentum=0.5),
    hx.LayerNorm,
    partial(hx.GroupNorm, groups=2),
    hx.InstanceNorm,
    hx.RMSNorm,
    lambda features, rngs: hx.Dropout(0.0, rngs=rngs),
    lambda features, rngs: hx.Residual(hx.BatchNorm(features, rngs=rngs)),
    lambda features, rngs: hx.Repeat(lambda rngs: hx.LayerNorm(features, rngs=rngs), 2, rngs=rngs),
]


@pytest.mark.rounding
@pytest.mark.parametrize("make", NNX)
def test_transformations_of_nnx_take_every_module(make) -> None:
    rows, layer = X[:, None], make(6, rngs=rngs())
    layer.train()
    want = layer(rows)
    for transform in (nnx.jit, nnx.remat):
        fresh = make(6, rngs=rngs())
        fresh.train()
        np.testing.assert_allclose(
            transform(lambda layer, x: layer(x))(fresh, rows), want, rtol=0, atol=16 * gamma(2000)
        )
        assert jax.tree.structure(nnx.state(fresh)) == jax.tree.structure(nnx.state(layer))

    @nnx.split_rngs(splits=2)
    @nnx.vmap
    def stack(rngs):
        return make(6, rngs=rngs)

    layers = stack(rngs())
    layers.train()
    got = nnx.vmap(lambda layer, x: layer(x))(layers, jnp.stack([rows, 2 * rows]))
    np.testing.assert_allclose(got[0], want, rtol=0, atol=16 * gamma(2000))
    axes = {"in_axes": (0, nnx.Carry), "out_axes": nnx.Carry}
    assert nnx.scan(lambda layer, x: layer(x), **axes)(layers, rows).shape == rows.shape
