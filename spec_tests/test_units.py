"""What is bounded for each unit: max-norm, adaptive clipping, weight norm, the command line's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import gamma
from flax import linen

import hondo
from hondo.cli.build import optimizer
from hondo.cli.config import TrainConfig
from hondo.linen import DeepMLP, PreActResNet


def still(params):
    return jax.tree.map(jnp.zeros_like, params)


def after(step, params, updates=None):
    """The parameters after a step."""
    updates = still(params) if updates is None else updates
    updates, _ = jax.jit(step.update)(updates, step.init(params), params)
    return optax.apply_updates(params, updates)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def heads():
    """An attention kernel of (inputs, heads, size): a large head, and one of norm 0.28."""
    return jnp.ones((8, 2, 4)).at[:, 1].set(0.05)


TOLD = {
    "in_axis": {"in_axis": 0},
    "out_axis": {"out_axis": (1, 2)},
    "both": {"in_axis": 0, "out_axis": (-2, -1)},
    "a rule": {"in_axis": lambda path, leaf: 0 if leaf.ndim == 3 else None},
    "a rule of names": {"out_axis": lambda path, leaf: (1, 2) if path == ("kernel",) else None},
}


@pytest.mark.slow
@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_a_small_head_is_left_alone(told) -> None:
    got = after(hondo.max_norm(1.0, **told), {"kernel": heads(), "bias": jnp.ones((2, 4))})
    np.testing.assert_array_equal(got["kernel"][:, 1], heads()[:, 1])
    np.testing.assert_allclose(got["kernel"][:, 0], np.full((8, 4), 8**-0.5), rtol=gamma(16))


@pytest.mark.slow
def test_the_heads_of_attention_need_not_be_told() -> None:
    attention = linen.MultiHeadDotProductAttention(2)
    params = attention.init(jax.random.key(0), jnp.ones((1, 5, 8)))["params"]
    params["query"]["kernel"] = heads()
    got = after(hondo.max_norm(1.0), params)
    np.testing.assert_array_equal(got["query"]["kernel"][:, 1], heads()[:, 1])
    np.testing.assert_array_less(jnp.linalg.norm(got["out"]["kernel"], axis=(0, 1)), 1 + gamma(64))


@pytest.mark.slow
@pytest.mark.parametrize("path", ["weight", "linear.weight", "layers/0/weight", "weight_hh"])
def test_rows_are_the_units_of_pytorch_and_equinox(path) -> None:
    params = {path: jnp.array([[3.0, 4.0], [0.1, 0.1]])}
    got = after(hondo.max_norm(1.0), params)[path]
    np.testing.assert_allclose(got, [[0.6, 0.8], [0.1, 0.1]], rtol=gamma(8))


def test_rows_are_the_units_of_embeddings() -> None:
    for name in ("embedding", "embeddings"):
        got = after(hondo.max_norm(1.0), {name: jnp.array([[3.0, 4.0], [0.1, 0.1]])})[name]
        np.testing.assert_allclose(got, [[0.6, 0.8], [0.1, 0.1]], rtol=gamma(8))


DENSE, CONV, LENGTHS = normal(11, 16, 16), normal(4, 3, 3, 2, 5, seed=1), normal(11, 16, seed=2)
# A stack of each kind of layer, as scan or vmap makes it.
STACKS = {
    "Dense_0": {"kernel": DENSE, "bias": LENGTHS},
    "Conv_0": {"kernel": CONV, "bias": normal(4, 5)},
    "layers": {"weight": DENSE, "bias": LENGTHS},
    "linear": {"w": DENSE, "b": LENGTHS},
}


@pytest.mark.slow
@pytest.mark.parametrize("layer", STACKS)
@pytest.mark.parametrize("step", [hondo.max_norm(1.0), hondo.adaptive_clip(0.1)])
def test_a_stack_is_bounded_as_each_of_its_layers(step, layer) -> None:
    params = {layer: STACKS[layer]}
    gradient = jax.tree.map(lambda w: jnp.cos(7 * w), params)
    layers = zip(hondo.unstack(params), hondo.unstack(gradient), strict=True)
    want = hondo.stack([after(step, one, slope) for one, slope in layers])
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=gamma(64), atol=2.0**-22),
        after(step, params, gradient),
        want,
    )


CONFIG = TrainConfig(max_norm=1.0, clip=0.0, optimizer="sgd", schedule="constant")


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [DeepMLP(3, depth=24, width=16), PreActResNet(3, depth=20, width=4, norm=None)]
)
def test_the_command_line_bounds_each_layer_of_a_stack(network) -> None:
    """A unit of norm .9 in each of its layers is inside the ball of c = 1."""
    init = jax.jit(partial(network.init, train=False))
    params = init(jax.random.key(0), jnp.ones((1, 4, 4, 1)))["params"]

    def of_norm(path, w):
        is_stack = path[-1].key == "kernel" and "Block_" in path[0].key
        inputs = np.prod(w.shape[-4:-1] if w.ndim > 3 else w.shape[-2:-1])
        return jnp.full_like(w, 0.9 / np.sqrt(inputs)) if is_stack else w

    params = jax.tree_util.tree_map_with_path(of_norm, params)
    got = after(optimizer(CONFIG, 1), params)
    for path, w in jax.tree_util.tree_leaves_with_path(params):
        if "Block_" in path[0].key:
            np.testing.assert_array_equal(w, dict(jax.tree_util.tree_leaves_with_path(got))[path])


@pytest.mark.slow
def test_lengths_of_weight_norm_go_by_their_axes() -> None:
    direction, lengths = normal(8, 2, 4), normal(2, 4, seed=1)
    got = hondo.weight_norm(direction, lengths)
    np.testing.assert_allclose(jnp.linalg.norm(got, axis=0), jnp.abs(lengths), rtol=gamma(32))
    for told in ({"out_axis": 0}, {"in_axis": (1, 2)}):
        got = hondo.weight_norm(direction, normal(8), **told)
        want = jnp.abs(normal(8))
        np.testing.assert_allclose(jnp.linalg.norm(got, axis=(1, 2)), want, rtol=gamma(32))
    rows = hondo.weight_norm(jnp.array([[3.0, 4.0]]), jnp.array([10.0]), out_axis=0)
    np.testing.assert_allclose(rows, [[6.0, 8.0]], rtol=gamma(8))


KERNEL = {"proj": {"kernel": jnp.ones((8, 2, 4))}}
INTEGERS = {"proj": {"kernel": jnp.array([[3, 4]])}}
ROWS = {"kernel": jnp.ones((2, 3))}
REFUSED = {
    "untold at init": (lambda: hondo.max_norm(1.0).init(KERNEL), r"in_axis or out_axis .*proj/ker"),
    "untold": (lambda: after(hondo.adaptive_clip(1.0), KERNEL), r"in_axis or out_axis .*\(8, 2, 4"),
    "no such axis": (
        lambda: after(hondo.max_norm(1.0, in_axis=2), ROWS),
        "in_axis must be axes of",
    ),
    "True": (lambda: after(hondo.max_norm(1.0, out_axis=True), ROWS), "out_axis must be"),
    "a half": (
        lambda: after(hondo.max_norm(1.0, in_axis=lambda path, leaf: 0.5), ROWS),
        "in_axis must be",
    ),
    "an axis twice": (lambda: after(hondo.max_norm(1.0, in_axis=(0, -2)), ROWS), "in_axis must"),
    "both": (
        lambda: after(hondo.max_norm(1.0, in_axis=0, out_axis=0), ROWS),
        "in_axis and out_axis must be different axes of kernel",
    ),
    "max_norm": (
        lambda: after(hondo.max_norm(1.0), INTEGERS),
        "params/proj/kernel must be of a fl",
    ),
    "proximal_l1": (
        lambda: after(hondo.proximal_l1(1.0, learning_rate=1.0), INTEGERS),
        "params/proj/kernel must be of a fl",
    ),
    "adaptive_clip": (lambda: after(hondo.adaptive_clip(1.0), INTEGERS), r"updates\['proj'\]"),
    "updates": (
        lambda: after(hondo.adaptive_clip(1.0), ROWS, {"kernel": jnp.ones((2, 3), int)}),
        r"updates\['kernel'\] must be of a fl",
    ),
    "scale_weights": (lambda: hondo.scale_weights(INTEGERS, 0.5), "params/proj/kernel must be of"),
    "parameter_noise": (
        lambda: hondo.parameter_noise(jax.random.key(0), INTEGERS, std=1.0),
        "params/proj/kernel must be of a fl",
    ),
    "weight_norm": (lambda: hondo.weight_norm(jnp.ones((2, 3)), jnp.ones(2)), "magnitude must be"),
}


@pytest.mark.parametrize(("call", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.spec("XCT-04")
def test_what_cannot_be_told_or_is_no_number_is_refused(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()
