"""What a user of Flax writes works with hondo's modules in place of Flax's, or is refused."""

import pathlib
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, normal
from flax import linen as nn
from flax import nnx

from hondo import linen as hl
from hondo import nnx as hx

KEY = jax.random.key(0)
X = normal(1, 16, 6) * 2 + 3
RNGS = nnx.Rngs(0)


pytestmark = [pytest.mark.slow, pytest.mark.compile_quickly]


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


def test_a_bool_is_no_number_and_a_mode_is_nothing_else() -> None:
    program = pathlib.Path(__file__).with_name("refused_arguments.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_probability_is_refused_by_its_name(rate) -> None:
    with pytest.raises(ValueError, match="rate must be a number in"):
        hl.Dropout(rate).apply({}, X, train=False)
    with pytest.raises(ValueError, match="rate must be a number in"):
        hx.Dropout(rate, rngs=RNGS)


ROWS, IMAGES = X[:, None], normal(0, 2, 8, 8, 3)
MODULES = [
    (partial(hl.BatchNorm, decay=0.5), ROWS),
    (partial(hl.Dropout, 0.5), ROWS),
    (hl.LayerNorm, ROWS),
    (partial(hl.GroupNorm, 2), ROWS),
    (hl.InstanceNorm, ROWS),
    (hl.RMSNorm, ROWS),
    (partial(hl.Residual, nn.BatchNorm()), ROWS),
    (partial(hl.Repeat, nn.BatchNorm(), 2), ROWS),
    (partial(hl.DeepMLP, 3, depth=4, width=6, rate=0.0), ROWS),
    (partial(hl.PlainMLP, 3, depth=3, width=6), ROWS),
    (partial(hl.PreActResNet, 3, width=4), IMAGES),
]


def outputs(module, variables, x, train):
    """What a module makes of x, and its new statistics; the mode goes by position."""
    state = list(set(variables) - {"params"})
    return module.apply(variables, x, train, rngs=KEY, mutable=state)


def lift(transform, make, **options):
    """The same module, of a class that Flax has transformed."""
    make = make if isinstance(make, partial) else partial(make)
    return transform(make.func, **options)(*make.args, **make.keywords)


def assert_near(got, want) -> None:
    """Equal but for how XLA fuses: sums of at most 1000 terms of a few units."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(one, other, rtol=gamma(1000), atol=8 * gamma(1000))


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


@pytest.mark.rounding
@pytest.mark.parametrize(
    ("transform", "train"), [(nn.remat, True), (nn.jit, True), (nn.jit, False)]
)
@pytest.mark.parametrize(("make", "x"), MODULES)
def test_remat_and_jit_of_flax_take_every_module(make, x, transform, train) -> None:
    lifted, variables = lift(transform, make, static_argnums=(2,)), make().init(KEY, x, False)
    shapes = jax.eval_shape(lambda: lifted.init(KEY, x, train))
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)
    got, want = (outputs(module, variables, x, train) for module in (lifted, make()))
    if transform is nn.jit and train and isinstance(make(), hl.Dropout):
        # Flax derives other keys under jit.
        np.testing.assert_array_equal(jnp.unique(got[0] / x), [0.0, 2.0])
    else:
        assert_near(got, want)


@pytest.mark.rounding
@pytest.mark.parametrize(("make", "x"), MODULES[:-1])  # Two residual networks compile for long.
def test_vmap_of_flax_takes_every_module(make, x) -> None:
    axes = {"variable_axes": {"params": None, "batch_stats": 0}, "split_rngs": {"params": False}}
    lifted = lift(nn.vmap, make, in_axes=(0, None), **axes)
    pair = jnp.stack([x, 2 * x])
    for train in (True, False):
        variables = lifted.init(KEY, pair, train)
        got = outputs(lifted, variables, pair, train)
        for i in range(2):
            mine = {**variables, "batch_stats": member(variables.get("batch_stats", {}), i)}
            want = outputs(make(), {name: mine[name] for name in variables}, pair[i], train)
            assert_near(member(got, i), want)


@pytest.mark.rounding
def test_modules_of_nnx_take_the_mode_by_position() -> None:
    for make in (hx.BatchNorm, hx.LayerNorm, hx.InstanceNorm, hx.RMSNorm):
        one, other = (make(6, rngs=nnx.Rngs(0)) for _ in range(2))
        for train in (True, False):
            np.testing.assert_array_equal(one(X, train), other(X, train=train))
    block = hx.Repeat(lambda rngs: hx.Residual(hx.Dropout(0.5, rngs=rngs)), 2, rngs=RNGS)
    np.testing.assert_array_equal(block(X, False), 4 * X)
    step = nnx.jit(
        nnx.remat(lambda net, x, train: net(x, train), static_argnums=2), static_argnums=2
    )
    np.testing.assert_array_equal(step(block, X, False), 4 * X)
    assert not np.array_equal(step(block, X, True), 4 * X)


@pytest.mark.rounding
@pytest.mark.parametrize("name", ["LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm"])
def test_norms_within_an_example_need_no_mode(name) -> None:
    options = {"groups": 2} if name == "GroupNorm" else {}
    linen = getattr(hl, name)(**options)
    variables = linen.init(KEY, IMAGES[..., :2])
    of_nnx = getattr(hx, name)(2, **options, rngs=RNGS)
    for call in (partial(linen.apply, variables), of_nnx):
        want = call(IMAGES[..., :2])
        for train in (True, False, None):
            np.testing.assert_array_equal(call(IMAGES[..., :2], train), want)
            np.testing.assert_array_equal(call(IMAGES[..., :2], train=train), want)
    # Flax's own has the same parameters and is called alike.
    theirs = getattr(nn, name)(*options.values())
    assert jax.tree.structure(theirs.init(KEY, IMAGES[..., :2])) == jax.tree.structure(variables)
