"""Which role each parameter of a network has, and which of its axes are one unit's."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx
from flax.core import meta

import hondo
from hondo import linen as hondo_linen
from hondo.linen import DeepMLP, PlainMLP, PreActResNet

ROWS, SEQUENCES = jnp.ones((2, 8)), jnp.ones((2, 5, 8))
IMAGES, TOKENS = jnp.ones((2, 8, 8, 4)), jnp.ones((2,), int)


NORMS = (hondo_linen.BatchNorm, hondo_linen.RMSNorm, None)


def table(params):
    """Roles and unit axes by path."""
    return {"/".join(row.path): (row.role, row.unit_axes) for row in hondo.roles(params)}


def units(params):
    """The unit axes of weights and embeddings, by path."""
    rows = table(params).items()
    return {path: axes for path, (role, axes) in rows if role in ("weight", "embedding")}


def shapes(**leaves):
    return {
        path.replace("__", "/"): jax.ShapeDtypeStruct(shape, "float32")
        for path, shape in leaves.items()
    }


ATTENTION = {f"{name}/kernel": (0,) for name in ("query", "key", "value")} | {"out/kernel": (0, 1)}
# A layer of linen, its input, and the unit axes of its weights; all else must be none.
LINEN = {
    "Dense": (linen.Dense(3), ROWS, {"kernel": (0,)}),
    "heads": (linen.DenseGeneral((2, 4)), ROWS, {"kernel": (0,)}),
    "of heads": (linen.DenseGeneral(6, axis=(-2, -1)), SEQUENCES, {"kernel": (0, 1)}),
    "batch": (linen.DenseGeneral(6, batch_dims=(0,)), SEQUENCES, {"kernel": (1,)}),
    "Einsum": (linen.Einsum((8, 3), "ab,bc->ac"), ROWS, {"kernel": (0,)}),
    "Conv": (linen.Conv(6, (3, 3)), IMAGES, {"kernel": (0, 1, 2)}),
    "Conv of one axis": (linen.Conv(6, (3,)), SEQUENCES, {"kernel": (0, 1)}),
    "Conv of no bias": (linen.Conv(6, (3, 3), use_bias=False), IMAGES, {"kernel": (0, 1, 2)}),
    "depthwise": (linen.Conv(4, (3, 3), feature_group_count=4), IMAGES, {"kernel": (0, 1, 2)}),
    "transposed": (linen.ConvTranspose(6, (3, 3)), IMAGES, {"kernel": (0, 1, 2)}),
    "transposed, kernel too": (
        linen.ConvTranspose(6, (3, 3), transpose_kernel=True),
        IMAGES,
        {"kernel": (0, 1, 3)},
    ),
    "local": (linen.ConvLocal(6, (3, 3)), IMAGES, {"kernel": (2,)}),
    "Embed": (linen.Embed(7, 4), TOKENS, {"embedding": (1,)}),
    "attention": (linen.MultiHeadDotProductAttention(2), SEQUENCES, ATTENTION),
    "attention of no bias": (
        linen.MultiHeadDotProductAttention(2, qkv_features=16, use_bias=False),
        SEQUENCES,
        ATTENTION,
    ),
    "LSTM": (
        linen.RNN(linen.LSTMCell(6)),
        SEQUENCES,
        {f"cell/{side}{gate}/kernel": (0,) for side in "ih" for gate in "ifgo"},
    ),
    "GRU": (
        linen.RNN(linen.GRUCell(6)),
        SEQUENCES,
        {f"cell/{side}{gate}/kernel": (0,) for side in "ih" for gate in "rzn"},
    ),
    "weight norm": (linen.WeightNorm(linen.Dense(3)), ROWS, {"layer_instance/kernel": (0,)}),
    "PReLU": (linen.PReLU(), ROWS, {}),
    "LayerNorm": (linen.LayerNorm(), ROWS, {}),
    "BatchNorm": (linen.BatchNorm(use_running_average=False), ROWS, {}),
    "GroupNorm": (linen.GroupNorm(2), ROWS, {}),
    "RMSNorm": (linen.RMSNorm(), ROWS, {}),
}


def init(module, x):
    return lambda key: module.init(key, x)["params"]


each_layer = pytest.mark.parametrize(("module", "x", "want"), LINEN.values(), ids=LINEN)


@each_layer
def test_roles_and_units_of_linen(module, x, want) -> None:
    params = jax.eval_shape(init(module, x), jax.random.key(0))
    assert units(params) == want
    for path, (role, _) in table(params).items():
        if path not in want:
            assert role == ("bias" if path.endswith("bias") else "scale")


def stacked(make, depth):
    return jax.eval_shape(jax.vmap(make), jax.random.split(jax.random.key(0), depth))


def behind(prefix, want):
    """The wanted axes, behind that of a stack."""
    return {prefix + path: tuple(axis + 1 for axis in axes) for path, axes in want.items()}


@pytest.mark.slow
@each_layer
@pytest.mark.parametrize("depth", [3, 5, 8])
@pytest.mark.promise(11)
def test_a_stack_keeps_roles_and_units(module, x, want, depth) -> None:
    def block(key):
        return {"layer": init(module, x)(key), "norm": {"scale": jnp.ones(6)}}

    flat, deep = table(jax.eval_shape(block, jax.random.key(0))), table(stacked(block, depth))
    assert {path: role for path, (role, _) in deep.items()} == {
        path: role for path, (role, _) in flat.items()
    }
    assert units(stacked(block, depth)) == behind("layer/", want)


@each_layer
@pytest.mark.parametrize("depth", [3, 5, 8])
def test_the_units_of_a_stack_without_neighbors_are_right_or_refused(
    module, x, want, depth
) -> None:
    """A stack as deep as a layer is wide, or of layers without biases, may be another layer."""
    params = stacked(init(module, x), depth)
    for path, axes in units(params).items():
        assert axes in (None, behind("", want)[path])
        assert axes is not None or depth == 8 or "bias" not in params


class Tied(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(7, 4, rngs=rngs)
        self.head = self.embed
        self.layers = nnx.List([nnx.Linear(4, 3, rngs=rngs), nnx.LayerNorm(3, rngs=rngs)])
        self.attention = nnx.MultiHeadAttention(2, 8, rngs=rngs, decode=False)
        self.blocks = nnx.vmap(lambda rngs: nnx.Linear(4, 4, rngs=rngs))(rngs.split(5))


@pytest.mark.slow
def test_roles_and_units_of_nnx() -> None:
    attention = {f"attention/{path}": axes for path, axes in ATTENTION.items()}
    rest = {"embed/embedding": (1,), "layers/0/kernel": (0,), "blocks/kernel": (1,)}
    got = units(nnx.state(Tied(nnx.Rngs(0)), nnx.Param))
    assert {path.removesuffix("/value"): axes for path, axes in got.items()} == attention | rest


def test_boxes_around_arrays_change_nothing() -> None:
    boxed = linen.with_partitioning(linen.initializers.ones, (None, "model"))
    params = linen.Dense(3, kernel_init=boxed).init(jax.random.key(0), ROWS)["params"]
    assert isinstance(params["kernel"], meta.AxisMetadata)
    assert units(params) == {"kernel/value": (0,)}


NETWORKS = {
    **{
        f"DeepMLP {depth} {norm and norm.__name__}": (
            DeepMLP(3, depth=depth, width=16, norm=norm),
            1,
        )
        for depth in (4, 24, 34)
        for norm in NORMS
    },
    **{f"PlainMLP {depth}": (PlainMLP(3, depth=depth, width=16), 1) for depth in (3, 18, 24)},
    **{
        f"PreActResNet {depth} {width} {norm and norm.__name__}": (
            PreActResNet(3, depth=depth, width=width, norm=norm),
            3,
        )
        for depth in (8, 26)
        for width in (1, 3)
        for norm in NORMS
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(("network", "own"), NETWORKS.values(), ids=NETWORKS)
def test_units_of_the_networks_here_are_those_of_one_layer(network, own) -> None:
    """The last axis and those of a stack number the units: one axis of inputs, or three."""
    x = jnp.ones((2, 8, 8, 1))
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), x, train=False))["params"]
    for row in hondo.roles(params):
        if row.role == "weight":
            last, inputs = len(row.shape) - 1, 1 if row.path[-2].startswith("Dense") else own
            assert row.unit_axes == tuple(range(last - inputs, last)), row


# What names do not tell: a layer of PyTorch's or Equinox' layout, and who is what.
OUTPUTS_FIRST = {
    "norms by their bias": (
        shapes(ln1__weight=(4,), ln1__bias=(4,), layers__1__weight=(4,), layers__1__bias=(4,)),
        {"ln1/weight": "scale", "layers/1/weight": "scale"},
    ),
    "norms by their rank": (
        shapes(final_ln__weight=(4,), Sequential__1__weight=(4,), act__weight=(1,)),
        {"final_ln/weight": "scale", "Sequential/1/weight": "scale", "act/weight": "scale"},
    ),
    "stacked norms": (
        shapes(
            a__0__weight=(5, 4, 3), a__0__bias=(5, 4), a__1__weight=(5, 4), b__bn__weight=(5, 4)
        ),
        {"a/0/weight": "weight", "a/1/weight": "scale", "b/bn/weight": "scale"},
    ),
    "stacked norms beside one output": (
        shapes(a__weight=(5, 4, 3), a__bias=(5, 4), b__weight=(5, 4), c__weight=(5, 1, 4))
        | shapes(c__bias=(5, 1)),
        {"a/weight": "weight", "b/weight": "scale", "c/weight": "weight"},
    ),
    "a stacked norm among layers that are not": (
        shapes(final_ln__weight=(5, 4), head__weight=(3, 4), head__bias=(3,)),
        {"final_ln/weight": "scale", "head/weight": "weight"},
    ),
    "weights that look like norms": (
        shapes(members__weight=(5, 4), ln_head__fc__weight=(5, 4), q__weight=(4, 4), q__bias=(4,)),
        {"members/weight": "weight", "ln_head/fc/weight": "weight", "q/weight": "weight"},
    ),
    "embeddings": (
        shapes(wte__weight=(9, 4), tok_emb__weight=(9, 4), embed_tokens__weight=(9, 4)),
        dict.fromkeys(("wte/weight", "tok_emb/weight", "embed_tokens/weight"), "embedding"),
    ),
}


@pytest.mark.parametrize(("params", "want"), OUTPUTS_FIRST.values(), ids=OUTPUTS_FIRST)
def test_shapes_and_siblings_tell_what_names_do_not(params, want) -> None:
    found = {path: role for path, (role, _) in table(params).items() if not path.endswith("bias")}
    assert found == want
    mask = hondo.weight_mask(params) if set(want.values()) != {"scale"} else {}
    for path, is_chosen in mask.items():
        assert is_chosen == (want.get(path) in ("weight", "embedding"))


def test_a_bias_tells_which_axis_numbers_the_units() -> None:
    """Names tell the layout only where the bias leaves it open."""
    turned = shapes(a__weight=(3, 2), a__bias=(2,), b__weight=(4, 4), b__bias=(4,))
    assert units(turned) == {"a/weight": (0,), "b/weight": (0,)}
    # As in PyTorch's GPT-2, whose head is another kind of layer.
    assert units(turned | shapes(head__weight=(9, 4)))["head/weight"] == (1,)
    assert units(shapes(a__weight=(5, 3, 2), a__bias=(5, 2))) == {"a/weight": (1,)}
    usual = shapes(a__weight=(2, 3), a__bias=(2,), b__weight=(4, 4), b__bias=(4,))
    assert units(usual) == {"a/weight": (1,), "b/weight": (1,)}
    assert units(shapes(c_attn__kernel=(12, 4), c_attn__bias=(12,))) == {"c_attn/kernel": (1,)}


AMBIGUOUS = {
    "a stack of no bias, or heads": shapes(proj__kernel=(5, 8, 8)),
    "heads or a stack": shapes(proj__kernel=(8, 8, 4), proj__bias=(8, 4)),
    "a stack of two, or an output of heads": shapes(out__kernel=(2, 4, 8)),
    "a window of three axes, or a stack": shapes(conv__kernel=(2, 3, 3, 4, 6)),
    "a window of one axis, or a stack": shapes(layers__0__weight=(6, 4, 3)),
    "outputs first or second": shapes(conv_transpose__weight=(4, 4, 3, 3)),
    "no name that is known": shapes(theta=(2, 3, 4)),
}


@pytest.mark.parametrize("params", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_may_be_two_layers_is_not_guessed(params) -> None:
    path = next(iter(params))
    assert table(params)[path][1] is None
    assert "cannot be told" in str(hondo.roles(params))
    told = hondo.max_norm(1.0, out_axis=lambda path, leaf: -1, where=lambda path, leaf: True)
    told.init({path: jnp.ones(leaf.shape) for path, leaf in params.items()})


KNOWN = {
    "queries of all heads": (shapes(query__kernel=(8, 2, 4)), (0,)),
    "a convolution": (shapes(conv__kernel=(3, 3, 4, 6)), (0, 1, 2)),
    "a square window": (shapes(downsample__0__weight=(6, 4, 1, 1)), (1, 2, 3)),
    "a class token": (shapes(cls_token=(1, 1, 8)), (0, 1, 2)),
    "positions": (shapes(pos_embedding=(1, 5, 8)), (2,)),
    "three axes beside flat norms": (
        shapes(b__conv__kernel=(1, 3, 3, 4, 6), b__bn__scale=(6,)),
        (0, 1, 2, 3),
    ),
    "a stack beside stacked norms": (
        shapes(b__conv__kernel=(3, 3, 3, 4, 6), b__bn__scale=(3, 6)),
        (1, 2, 3),
    ),
    "the bias of a stack among others": (
        shapes(a__bias=(5, 3), a__kernel=(5, 2, 3), b__kernel=(3, 4), b__bias=(4,)),
        (1,),
    ),
    "stacked twice": (shapes(a__kernel=(2, 5, 8, 6), a__bias=(2, 5, 6)), (2,)),
}


@pytest.mark.parametrize(("params", "want"), KNOWN.values(), ids=KNOWN)
def test_what_is_known_need_not_be_told(params, want) -> None:
    assert table(params)[next(iter(params))][1] == want
