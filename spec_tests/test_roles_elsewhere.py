"""Roles and units in the trees that Equinox, Haiku, Keras and PyTorch make."""

import os

import jax
import jax.numpy as jnp
import pytest

import hondo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.compile_quickly]
KEY = jax.random.key(0)
ROWS, SEQUENCES = jnp.ones((2, 8)), jnp.ones((2, 5, 8))
IMAGES, TOKENS = jnp.ones((2, 8, 8, 4)), jnp.ones((2,), "int32")


@pytest.fixture(autouse=True)
def _ordinary_promotion():
    """Other people's code promotes and broadcasts as JAX does by default."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def units(params, behind=""):
    """The unit axes of weights and embeddings, by path; all else is a bias, a scale or no role."""
    rows = [(("/".join(row.path)).removeprefix(behind), row) for row in hondo.roles(params)]
    return {p: row.unit_axes for p, row in rows if row.role in ("weight", "embedding")}


EQUINOX = {
    "Linear": (lambda nn: nn.Linear(3, 2, key=KEY), {"weight": (1,)}),
    "Linear of no bias": (lambda nn: nn.Linear(3, 2, use_bias=False, key=KEY), {"weight": (1,)}),
    "Linear of a scalar": (lambda nn: nn.Linear(3, "scalar", key=KEY), {"weight": (1,)}),
    "Conv1d": (lambda nn: nn.Conv1d(4, 6, 3, key=KEY), {"weight": (1, 2)}),
    "Conv2d": (lambda nn: nn.Conv2d(4, 6, 3, key=KEY), {"weight": (1, 2, 3)}),
    "depthwise": (lambda nn: nn.Conv2d(4, 4, 3, groups=4, key=KEY), {"weight": (1, 2, 3)}),
    "transposed": (lambda nn: nn.ConvTranspose2d(4, 6, 3, key=KEY), {"weight": (1, 2, 3)}),
    "Embedding": (lambda nn: nn.Embedding(7, 4, key=KEY), {"weight": (1,)}),
    "attention": (
        lambda nn: nn.MultiheadAttention(2, 8, use_query_bias=True, key=KEY),
        {f"{name}_proj/weight": (1,) for name in ("query", "key", "value", "output")},
    ),
    "LSTMCell": (lambda nn: nn.LSTMCell(3, 4, key=KEY), {"weight_ih": (1,), "weight_hh": (1,)}),
    "GRUCell": (lambda nn: nn.GRUCell(3, 4, key=KEY), {"weight_ih": (1,), "weight_hh": (1,)}),
    "LayerNorm": (lambda nn: nn.LayerNorm(4), {}),
    "LayerNorm of two axes": (lambda nn: nn.LayerNorm((3, 4)), {}),
    "RMSNorm": (lambda nn: nn.RMSNorm(4), {}),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 4), {}),
    "BatchNorm": (lambda nn: nn.BatchNorm(4, "batch", mode="ema"), {}),
    "PReLU": (lambda nn: nn.PReLU(), {}),
    "weight norm": (lambda nn: nn.WeightNorm(nn.Linear(3, 2, key=KEY)), {"layer/weight": (1,)}),
    "a sequence": (
        lambda nn: nn.Sequential([nn.Linear(3, 2, key=KEY), nn.LayerNorm(2)]),
        {"layers/0/weight": (1,)},
    ),
    "a whole MLP": (
        lambda nn: nn.MLP(3, 2, 4, 2, key=KEY),
        {f"layers/{i}/weight": (1,) for i in range(3)},
    ),
}


@pytest.mark.parametrize(("make", "want"), EQUINOX.values(), ids=EQUINOX)
def test_equinox(make, want) -> None:
    eqx = pytest.importorskip("equinox")
    layer = make(eqx.nn)
    assert units(eqx.filter(layer, eqx.is_inexact_array)) == want
    # Functions are leaves of Equinox' modules, and have no role.
    assert units(layer) == want


STACKED = {name: EQUINOX[name] for name in ("Linear", "Conv1d", "Conv2d", "transposed", "LSTMCell")}
STACKED |= {name: EQUINOX[name] for name in ("attention", "LayerNorm", "RMSNorm", "a sequence")}


@pytest.mark.parametrize(("make", "want"), STACKED.values(), ids=STACKED)
@pytest.mark.parametrize("depth", [2, 5])
def test_stacked_by_filter_vmap(make, want, depth) -> None:
    eqx = pytest.importorskip("equinox")

    def block(key):
        return {"layer": make(eqx.nn), "norm": eqx.nn.LayerNorm(9)}

    params = eqx.filter(eqx.filter_vmap(block)(jax.random.split(KEY, depth)), eqx.is_inexact_array)
    deeper = {path: tuple(axis + 1 for axis in axes) for path, axes in want.items()}
    assert units(params, "layer/") == deeper


def test_tied_weights_of_equinox_have_one_role() -> None:
    eqx = pytest.importorskip("equinox")

    def head_of(pair):
        return pair[1].weight

    pair = (eqx.nn.Embedding(7, 4, key=KEY), eqx.nn.Linear(4, 7, use_bias=False, key=KEY))
    tied = eqx.nn.Shared(pair, head_of, lambda pair: pair[0].weight)
    got = units(eqx.filter(tied, eqx.is_inexact_array))
    assert list(got.values()) == [(1,)]


def unrolled(core):
    return lambda hk: lambda x: hk.dynamic_unroll(made := core(hk), x, made.initial_state(5))


HAIKU = {
    "Linear": (lambda hk: hk.Linear(3), ROWS, {"linear/w": (0,)}),
    "Conv2D": (lambda hk: hk.Conv2D(6, 3), IMAGES, {"conv2_d/w": (0, 1, 2)}),
    "depthwise": (
        lambda hk: hk.DepthwiseConv2D(2, 3),
        IMAGES,
        {"depthwise_conv2_d/w": (0, 1, 2)},
    ),
    "transposed": (
        lambda hk: hk.Conv2DTranspose(4, 3, with_bias=False),
        IMAGES,
        {"conv2_d_transpose/w": (0, 1, 3)},
    ),
    "Embed": (lambda hk: hk.Embed(7, 4), TOKENS, {"embed/embeddings": (1,)}),
    "LSTM": (unrolled(lambda hk: hk.LSTM(4)), SEQUENCES, {"lstm/linear/w": (0,)}),
    "GRU": (unrolled(lambda hk: hk.GRU(4)), SEQUENCES, {"gru/w_i": (0,), "gru/w_h": (0,)}),
    "LayerNorm": (lambda hk: hk.LayerNorm(-1, True, True), ROWS, {}),
    "BatchNorm": (lambda hk: lambda x: hk.BatchNorm(True, True, 0.9)(x, True), ROWS, {}),
    "RMSNorm": (lambda hk: hk.RMSNorm(-1), ROWS, {}),
    "MLP": (
        lambda hk: hk.nets.MLP([3, 4]),
        ROWS,
        {f"mlp/~/linear_{i}/w": (0,) for i in range(2)},
    ),
    "layer_stack": (
        lambda hk: hk.experimental.layer_stack(8)(
            lambda x: hk.LayerNorm(-1, True, True)(hk.Linear(8)(x))
        ),
        ROWS,
        {"__layer_stack_no_per_layer/linear/w": (1,)},
    ),
}


@pytest.mark.parametrize(("make", "x", "want"), HAIKU.values(), ids=HAIKU)
def test_haiku(make, x, want) -> None:
    hk = pytest.importorskip("haiku")
    init, _ = hk.transform_with_state(lambda x: make(hk)(x))
    assert units(jax.eval_shape(init, KEY, x)[0]) == want


KERAS = {
    "Dense": (lambda k: k.Dense(3), [ROWS], {"kernel": (0,)}),
    "EinsumDense": (
        lambda k: k.EinsumDense("abc,cde->abde", output_shape=(None, 2, 4), bias_axes="de"),
        [SEQUENCES],
        {"kernel": (0,)},
    ),
    "Conv1D": (lambda k: k.Conv1D(6, 3), [SEQUENCES], {"kernel": (0, 1)}),
    "Conv2D": (lambda k: k.Conv2D(6, 3), [IMAGES], {"kernel": (0, 1, 2)}),
    "depthwise": (
        lambda k: k.DepthwiseConv2D(3, depth_multiplier=2),
        [IMAGES],
        {"kernel": (0, 1)},
    ),
    "separable": (
        lambda k: k.SeparableConv2D(6, 3),
        [IMAGES],
        {"depthwise_kernel": (0, 1), "pointwise_kernel": (0, 1, 2)},
    ),
    "transposed": (lambda k: k.Conv2DTranspose(4, 3), [IMAGES], {"kernel": (0, 1, 3)}),
    "Embedding": (lambda k: k.Embedding(7, 4), [TOKENS], {"embeddings": (1,)}),
    "attention": (
        lambda k: k.MultiHeadAttention(2, 4),
        [SEQUENCES, SEQUENCES],
        {f"{name}/kernel": (0,) for name in ("query", "key", "value")}
        | {"attention_output/kernel": (0, 1)},
    ),
    "LSTM": (
        lambda k: k.LSTM(4),
        [SEQUENCES],
        {"lstm_cell/kernel": (0,), "lstm_cell/recurrent_kernel": (0,)},
    ),
    "GRU": (
        lambda k: k.GRU(4),
        [SEQUENCES],
        {"gru_cell/kernel": (0,), "gru_cell/recurrent_kernel": (0,)},
    ),
    "ConvLSTM2D": (
        lambda k: k.ConvLSTM2D(4, 3),
        [jnp.ones((2, 5, 8, 8, 4))],
        {"conv_lstm_cell/kernel": (0, 1, 2), "conv_lstm_cell/recurrent_kernel": (0, 1, 2)},
    ),
    "LayerNormalization": (lambda k: k.LayerNormalization(), [ROWS], {}),
    "BatchNormalization": (lambda k: k.BatchNormalization(), [ROWS], {}),
    "GroupNormalization": (lambda k: k.GroupNormalization(2), [IMAGES], {}),
    "PReLU": (lambda k: k.PReLU(), [IMAGES], {}),
}


@pytest.mark.parametrize(("make", "inputs", "want"), KERAS.values(), ids=KERAS)
def test_keras(make, inputs, want) -> None:
    os.environ["KERAS_BACKEND"] = "jax"
    layers = pytest.importorskip("keras").layers
    layer = make(layers)
    layer(*inputs)
    params = {weight.path: weight.value for weight in layer.trainable_variables}
    assert units(params, f"{layer.name}/") == want


IH_HH = {f"weight_{gate}_l0{way}": (1,) for gate in ("ih", "hh") for way in ("", "_reverse")}
TORCH = {
    "Linear": (lambda nn: nn.Linear(3, 2), {"weight": (1,)}),
    "Bilinear": (lambda nn: nn.Bilinear(3, 4, 2), {"weight": (1, 2)}),
    "Conv1d": (lambda nn: nn.Conv1d(4, 6, 3), {"weight": (1, 2)}),
    "Conv2d": (lambda nn: nn.Conv2d(4, 6, 3, bias=False), {"weight": (1, 2, 3)}),
    "depthwise": (lambda nn: nn.Conv2d(4, 4, 3, groups=4), {"weight": (1, 2, 3)}),
    "transposed": (lambda nn: nn.ConvTranspose2d(4, 6, 3), {"weight": (0, 2, 3)}),
    "Embedding": (lambda nn: nn.Embedding(7, 4), {"weight": (1,)}),
    "attention": (
        lambda nn: nn.MultiheadAttention(8, 2, kdim=3, vdim=5, add_bias_kv=True),
        {f"{name}_proj_weight": (1,) for name in "qkv"} | {"out_proj.weight": (1,)},
    ),
    "LSTM": (lambda nn: nn.LSTM(3, 4, bidirectional=True), IH_HH),
    "GRUCell": (lambda nn: nn.GRUCell(3, 4), {"weight_ih": (1,), "weight_hh": (1,)}),
    "LayerNorm": (lambda nn: nn.LayerNorm((3, 4)), {}),
    "RMSNorm": (lambda nn: nn.RMSNorm(4), {}),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(4), {}),
    "PReLU": (lambda nn: nn.PReLU(4), {}),
    "weight norm": (
        lambda nn: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
        {"parametrizations.weight.original1": (1,)},
    ),
    "a transformer's layer": (
        lambda nn: nn.TransformerEncoderLayer(8, 2, 16),
        {
            f"{name}weight": (1,)
            for name in ("self_attn.in_proj_", "self_attn.out_proj.", "linear1.", "linear2.")
        },
    ),
    "a sequence": (
        lambda nn: nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Conv2d(2, 6, 3, bias=False)),
        {"0.weight": (1,), "2.weight": (1, 2, 3)},
    ),
}


@pytest.mark.parametrize(("make", "want"), TORCH.values(), ids=TORCH)
def test_torch(make, want) -> None:
    nn = pytest.importorskip("torch").nn
    named = make(nn).named_parameters()
    shapes = {name: jax.ShapeDtypeStruct(tuple(leaf.shape), "float32") for name, leaf in named}
    assert units(shapes) == want


@pytest.mark.parametrize("depth", [2, 5])
def test_stacked_by_stack_module_state(depth) -> None:
    """An ensemble of PyTorch's; its RMSNorm has no bias that could tell it from a weight."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    nets = [nn.Sequential(nn.Linear(3, 4), nn.RMSNorm(4), nn.Linear(4, 1)) for _ in range(depth)]
    params, _ = torch.func.stack_module_state(nets)
    shapes = {name: jax.ShapeDtypeStruct(tuple(p.shape), "float32") for name, p in params.items()}
    # Of (depth, 1, 4) the axis of one output may count as a unit's own: it adds nothing.
    assert units(shapes)["0.weight"] == (2,)
    assert units(shapes)["2.weight"] in ((2,), (1, 2))
    assert set(units(shapes)) == {"0.weight", "2.weight"}
