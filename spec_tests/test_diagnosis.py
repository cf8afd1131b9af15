"""A planted fault is named, whatever the framework; a healthy network has no verdict."""

import os
import subprocess
import sys
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases_diagnosis import (
    FAULTS,
    KEY,
    as_problem,
    batch_of,
    function_params,
    linen_problem,
    looped,
    nnx_problem,
    plant,
    repeated,
    scanned,
    scanned_problem,
    unrolled,
)
from compile_quickly import with_devices
from exact import normal
from flax import linen as nn
from healthy_networks import FITTING, Kind, count_verdicts
from jax.typing import DTypeLike

import hondo
from benchmarks.diagnosis import measure_memory
from hondo.linen import DeepMLP, PreActResNet

pytestmark = pytest.mark.compile_quickly


def diagnose(problem: hondo.Problem, batch: tuple[jax.Array, jax.Array]) -> hondo.Diagnosis:
    return jax.jit(partial(hondo.diagnose, problem, batch=batch))(key=KEY)


def named(report: hondo.Diagnosis) -> set[tuple[str, int | None]]:
    return {(verdict.layer, verdict.index) for verdict in report.verdicts}


PLANTED = {
    "linen": (lambda: linen_problem(depth=20, width=32), 64),
    "nnx": (lambda: nnx_problem(20, 24), 40),
    "scanned": (lambda: scanned_problem(depth=20, width=32), 64),
    "scanned tanh": (
        lambda: scanned_problem(
            depth=20, width=100, activation=jnp.tanh, kernel_init=hondo.glorot_normal()
        ),
        32,
    ),
    "scanned gelu": (lambda: scanned_problem(depth=20, width=64, activation=nn.gelu), 128),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_in_any_of_twenty_layers_is_named_and_nothing_else(name: str) -> None:
    problem, count = PLANTED[name][0](), PLANTED[name][1]
    batch = batch_of(count)
    params, state = problem.init(KEY, batch)
    run = jax.jit(partial(hondo.diagnose, problem))
    healthy = run(params, state, batch, key=KEY)
    assert healthy.verdicts == ()
    assert len(healthy.layers) == 20
    for fault_name, fault in FAULTS.items():
        last = 19 if fault_name == "bias −10" else 20
        for layer in healthy.layers[:last]:
            sick = plant(params, layer.layer, layer.index, fault)
            report = run(sick, state, batch, key=KEY)
            assert named(report) == {(layer.layer, layer.index)}, (fault_name, report.verdicts)
            assert {verdict.kind for verdict in report.verdicts} <= fault.kinds | {"dead"}


FRAMEWORKS = {
    "nnx": (lambda: nnx_problem(4, 32), ["hidden/0", "hidden/1", "hidden/2", "out"]),
    "unrolled": (
        lambda: as_problem(unrolled, function_params(5, 32)),
        ["in", "w", "w", "w", "out"],
    ),
    "scanned": (
        lambda: as_problem(scanned, function_params(5, 32)),
        ["in", "w[0]", "w[1]", "w[2]", "out"],
    ),
    "looped": (
        lambda: as_problem(looped, function_params(5, 32)),
        ["in", "w[0]", "w[1]", "w[2]", "out"],
    ),
    "repeat": (
        lambda: as_problem(repeated, function_params(5, 32)),
        ["in", "w[0]", "w[1]", "w[2]", "out"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_layers_of_every_framework_have_their_parameters_names(name: str) -> None:
    problem, names = FRAMEWORKS[name][0](), FRAMEWORKS[name][1]
    report = diagnose(problem, batch_of(64))
    assert [row.name for row in report.rows if row.kind == "layer"] == names
    hidden = [row.activation for row in report.rows if row.kind == "activation"]
    assert hidden == ["relu"] * (len(names) - 1)
    assert report.verdicts == ()


@pytest.mark.slow
def test_a_scanned_stack_is_measured_as_the_unrolled_one() -> None:
    params = function_params(6, 32)
    reports = [diagnose(as_problem(f, params), batch_of(64)) for f in (unrolled, scanned, looped)]
    for report in reports[1:]:
        for own, other in zip(reports[0].layers, report.layers, strict=True):
            np.testing.assert_allclose(astuple(own)[3:8], astuple(other)[3:8], rtol=2e-5)


def test_measurements_are_those_of_the_explicit_chain() -> None:
    params, (x, y) = function_params(5, 32), batch_of(64)
    report = diagnose(as_problem(scanned, params), (x, y))
    weights = [params["in"], *params["w"], params["out"]]
    hidden, responses, states = np.asarray(x, np.float64), [], []
    for w in weights:
        states.append(hidden)
        responses.append(hidden @ np.asarray(w, np.float64))
        hidden = np.maximum(responses[-1], 0)
    logits = responses[-1] - responses[-1].max(axis=1, keepdims=True)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gradient = (softmax - np.eye(10)[np.asarray(y)]) / len(y)
    for place in reversed(range(5)):
        layer = report.layers[place]
        rms = [np.sqrt(np.mean(v**2)) for v in (states[place], responses[place], gradient)]
        measured = layer.input_rms, layer.response_rms, layer.gradient_rms
        np.testing.assert_allclose(measured, rms, rtol=1e-4)
        gradient = gradient @ np.asarray(weights[place], np.float64).T
        gradient = gradient * (responses[place - 1] > 0) if place else gradient


@pytest.mark.slow
def test_sizes_beyond_the_range_of_their_squares_are_measured() -> None:
    params = function_params(4, 32)
    tiny = {**params, "in": params["in"] * 1e-28}
    layer = diagnose(as_problem(unrolled, tiny), batch_of(16)).layers[0]
    usual = diagnose(as_problem(unrolled, params), batch_of(16)).layers[0]
    np.testing.assert_allclose(layer.response_rms, usual.response_rms * 1e-28, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 2, 4])
def test_a_stopped_gradient_names_the_last_layer_before_it(layer: int) -> None:
    report = diagnose(linen_problem(depth=6, width=32, stop=layer), batch_of(32))
    assert [(v.kind, v.layer) for v in report.verdicts] == [("detached", f"Dense_{layer}")]
    assert report["Dense_0"].gradient_rms == 0
    assert report["Dense_5"].gradient_rms > 0


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 2])
def test_a_gradient_stopped_in_nnx_names_the_last_layer_before_it(layer: int) -> None:
    report = diagnose(nnx_problem(4, 16, stop=layer), batch_of(32))
    assert [(v.kind, v.layer) for v in report.verdicts] == [("detached", f"hidden/{layer}")]
    assert [row.gradient_rms > 0 for row in report.layers] == [k > layer for k in range(4)]


@pytest.mark.slow
def test_a_gradient_stopped_inside_a_scan_is_named_wherever_it_is() -> None:
    def loss(own: dict, cut: jax.Array, batch: tuple, key: jax.Array) -> tuple:
        def body(x: jax.Array, step: tuple) -> tuple[jax.Array, None]:
            w, place = step
            x = nn.relu(x @ w)
            return jnp.where(place == cut, jax.lax.stop_gradient(x), x), None

        x, _ = jax.lax.scan(body, nn.relu(batch[0] @ own["in"]), (own["w"], jnp.arange(18)))
        return hondo.cross_entropy(x @ own["out"], batch[1]).mean(), (cut, {})

    problem = hondo.Problem(lambda *_: ({}, ()), loss, lambda *_: {})
    params = function_params(20, 32)
    run = jax.jit(partial(hondo.diagnose, problem))
    for cut in range(18):
        report = run(params, jnp.asarray(cut), batch_of(32), key=KEY)
        assert [(v.kind, v.layer, v.index) for v in report.verdicts] == [("detached", "w", cut)]
    assert run(params, jnp.asarray(99), batch_of(32), key=KEY).verdicts == ()


HALVES = {
    "linen": partial(linen_problem, depth=5, width=16),
    "nnx": partial(nnx_problem, 5, 16),
    "scanned": partial(scanned_problem, depth=5, width=16),
}
LARGE = {jnp.float16: 6e4, jnp.bfloat16: 3e38}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", LARGE)
@pytest.mark.parametrize("name", HALVES)
def test_an_overflow_of_a_half_precision_is_named(name: str, dtype: DTypeLike) -> None:
    problem, batch = HALVES[name](dtype=dtype), batch_of(32)
    params, state = problem.init(KEY, batch)
    run = jax.jit(partial(hondo.diagnose, problem))
    healthy = run(params, state, batch, key=KEY)
    assert healthy.verdicts == ()
    overflow = FAULTS["NaN"]._replace(change=lambda w: jnp.full_like(w, LARGE[dtype]))
    for layer in healthy.layers[1:]:
        sick = plant(params, layer.layer, layer.index, overflow)
        (verdict,) = run(sick, state, batch, key=KEY).verdicts
        assert (verdict.kind, verdict.layer) == ("nonfinite_response", layer.layer)
        assert verdict.index == layer.index
        assert f"overflows {jnp.dtype(dtype).name}" in verdict.remedy


@pytest.mark.slow
@pytest.mark.parametrize(("name", "last"), [("nnx", "out"), ("scanned", "Dense_0")])
def test_a_gradient_that_underflows_or_overflows_is_named(name: str, last: str) -> None:
    problem, batch = HALVES[name](dtype=jnp.float16), batch_of(32)
    params, state = problem.init(KEY, batch)

    def loss(own: dict, factor: jax.Array, batch: tuple, key: jax.Array) -> tuple:
        value, (_, info) = problem.loss(own, state, batch, key)
        return value * factor, (factor, info)

    run = jax.jit(partial(hondo.diagnose, problem._replace(loss=loss)))
    scales = {1.0: (), 1e-8: (("vanishing_gradient", last),), 1e7: (("nonfinite_gradient", last),)}
    for factor, expected in scales.items():
        verdicts = run(params, jnp.float32(factor), batch, key=KEY).verdicts
        assert tuple((v.kind, v.layer) for v in verdicts) == expected
        assert all("underflows float16" in v.remedy for v in verdicts if factor < 1)


@pytest.mark.slow
def test_a_kernel_scaled_in_front_of_a_norm_is_healthy() -> None:
    problem = linen_problem(depth=6, width=64, norm=True)
    batch = batch_of(64)
    params, state = problem.init(KEY, batch)
    for layer in range(5):
        sick = plant(params, f"Dense_{layer}", None, FAULTS["×1e3"])
        assert hondo.diagnose(problem, sick, state, batch, key=KEY).verdicts == ()


@pytest.mark.slow
def test_a_stem_out_of_scale_is_to_blame_for_what_its_residual_stream_does() -> None:
    problem = hondo.supervised(DeepMLP(10, depth=8, width=32), loss="cross_entropy")
    batch = batch_of(32)
    params, state = problem.init(KEY, batch)
    sick = plant(params, "Dense_0", None, FAULTS["×1e3"])
    assert named(hondo.diagnose(problem, sick, state, batch, key=KEY)) == {("Dense_0", None)}


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_names_the_layer_and_its_line() -> None:
    def apply(own: dict, x: jax.Array) -> jax.Array:
        x = x @ own["in"]
        # The classical mistake: what is not selected has a gradient of 0 · NaN.
        x = jnp.where(x > 0, jnp.sqrt(x), 0)
        return nn.relu(x @ own["w"][0]) @ own["out"]

    problem, batch = as_problem(apply, function_params(3, 32)), batch_of(32)
    params, _ = problem.init(KEY, batch)
    (verdict,) = diagnose(problem, batch).verdicts
    assert (verdict.kind, verdict.layer) == ("nonfinite_gradient", "in")
    origin = hondo.diagnosis.find_nonfinite(problem, params, (), batch, key=KEY)
    assert origin is not None
    assert origin.is_backward
    assert "test_diagnosis.py" in origin.line


@pytest.mark.slow
def test_the_line_where_a_value_becomes_nan_is_found_inside_a_scan() -> None:
    def apply(own: dict, x: jax.Array) -> jax.Array:
        def body(x: jax.Array, w: jax.Array) -> tuple[jax.Array, None]:
            return jnp.log(nn.relu(x @ w)), None

        return jax.lax.scan(body, nn.relu(x @ own["in"]), own["w"])[0] @ own["out"]

    problem, batch = as_problem(apply, function_params(4, 32)), batch_of(32)
    params, _ = problem.init(KEY, batch)
    origin = hondo.diagnosis.find_nonfinite(problem, params, (), batch, key=KEY)
    assert origin is not None
    assert (origin.primitive, origin.iteration, origin.is_backward) == ("log", (0,), False)


@pytest.mark.rounding
@pytest.mark.slow
def test_nothing_is_changed_and_the_loss_is_the_plain_one() -> None:
    problem = hondo.supervised(DeepMLP(10, depth=6, width=32, rate=0.2), loss="cross_entropy")
    batch = batch_of(64)
    params, state = problem.init(KEY, batch)
    before = jax.tree.map(np.asarray, (params, state))
    report = hondo.diagnose(problem, params, state, batch, key=KEY)
    loss = jax.jit(problem.loss)(params, state, batch, KEY)[0]
    np.testing.assert_allclose(report.loss, loss, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, before, (params, state))
    assert report.verdicts == ()


@pytest.mark.slow
def test_verdicts_on_the_host_are_those_inside_a_program() -> None:
    problem, batch = linen_problem(depth=6, width=32), batch_of(32)
    params, state = problem.init(KEY, batch)
    run, inside = jax.jit(partial(hondo.diagnose, problem)), jax.jit(lambda report: report.findings)
    for fault in FAULTS.values():
        report = run(plant(params, "Dense_2", None, fault), state, batch, key=KEY)
        assert report.verdicts
        for host, traced in zip(report.findings, inside(report), strict=True):
            np.testing.assert_allclose(host, traced, rtol=1e-5)


@pytest.mark.slow
def test_an_ensemble_is_cut_into_its_members() -> None:
    problem = linen_problem(depth=4, width=32)
    batch = batch_of(32)
    params, state = jax.vmap(lambda key: problem.init(key, batch))(jax.random.split(KEY, 3))
    params["Dense_1"]["kernel"] = params["Dense_1"]["kernel"].at[2].multiply(1e-3)
    params["Dense_2"]["kernel"] = params["Dense_2"]["kernel"].at[1, 0, 0].set(jnp.nan)
    run = jax.vmap(lambda p, s: hondo.diagnose(problem, p, s, batch, key=KEY))
    members = hondo.unstack(run(params, state))
    assert [named(member) for member in members] == [
        set(),
        {("Dense_2", None)},
        {("Dense_1", None)},
    ]
    with pytest.raises(ValueError, match=r"hondo\.unstack"):
        _ = run(params, state).verdicts


@pytest.mark.slow
def test_a_branch_not_taken_is_neither_detached_nor_measured() -> None:
    def apply(own: dict, x: jax.Array) -> jax.Array:
        x = nn.relu(x @ own["in"])
        branches = [lambda x, w=w: nn.relu(x @ w) for w in (own["w"][0], own["w"][1])]
        return jax.lax.cond(jnp.sum(x) > 0, *branches, x) @ own["out"]

    report = diagnose(as_problem(apply, function_params(4, 32)), batch_of(32))
    assert report.verdicts == ()
    assert [np.isnan(layer.response_rms) for layer in report.layers].count(True) == 1


@pytest.mark.slow
def test_convolutions_embeddings_and_attention_are_layers() -> None:
    images = normal(0, 8, 8, 8, 1), jnp.arange(8) % 10
    net = PreActResNet(10, depth=8, width=8, conv_general_dilated=hondo.conv_general_dilated)
    report = diagnose(hondo.supervised(net, loss="cross_entropy"), images)
    assert report.verdicts == ()
    assert {row.kind for row in report.rows} == {"layer", "activation", "sum"}
    assert sum(row.kind == "layer" for row in report.rows) == 10

    class Small(nn.Module):
        @nn.compact
        def __call__(self, tokens: jax.Array) -> jax.Array:
            x = nn.Embed(20, 32)(tokens)
            x = x + nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x))
            return nn.Dense(10)(jnp.mean(x, axis=1))

    tokens = jax.random.randint(KEY, (16, 12), 0, 20), jnp.arange(16) % 10
    report = diagnose(hondo.supervised(Small(), loss="cross_entropy"), tokens)
    attention = "MultiHeadDotProductAttention_0"
    inner = [f"{attention}/{part}" for part in ("query", "key", "value", "out")]
    assert sorted(layer.layer for layer in report.layers) == sorted(["Dense_0", "Embed_0", *inner])
    assert report.verdicts == ()


@pytest.mark.rounding
@pytest.mark.slow
def test_watching_changes_no_bit_of_the_training() -> None:
    problem = linen_problem(depth=4, width=16)
    data = batch_of(64)
    run = partial(
        hondo.fit,
        optimizer=optax.sgd(0.1),
        train=data,
        valid=data,
        key=KEY,
        batch_size=16,
        max_epochs=3,
        stopper=hondo.early_stopping(5, mode="min"),
    )
    watched = run(hondo.watch(problem, every=5))
    jax.tree.map(np.testing.assert_array_equal, watched.last.params, run(problem).last.params)
    state = watched.last.model_state
    assert int(state.step) == 12
    assert len(state.diagnosis.layers) == 4
    assert state.diagnosis.verdicts == ()


@pytest.mark.slow
def test_updates_are_measured_beside_the_weights() -> None:
    problem, batch = linen_problem(depth=4, width=16), batch_of(32)
    params, state = problem.init(KEY, batch)
    report = hondo.diagnose(problem, params, state, batch, key=KEY, optimizer=optax.sgd(0.5))
    for layer in report.layers:
        expected = 0.5 * layer.weight_gradient_rms / layer.weight_rms
        np.testing.assert_allclose(layer.update_ratio, expected, rtol=1e-4)


@pytest.mark.slow
def test_a_report_is_read_by_name_and_says_what_it_knows() -> None:
    report = diagnose(scanned_problem(depth=5, width=16), batch_of(32))
    stack = report["PlainLayer_1/Dense_0"]
    assert np.shape(stack.gradient_rms) == (3,)
    assert stack.response_rms[1] == report["PlainLayer_1/Dense_0[1]"].response_rms
    assert "Healthy" in str(report)
    assert "PlainLayer_1/Dense_0[1]" in str(report)
    assert next(row["layer"] for row in report.table()) == "PlainLayer_0/Dense_0"
    with pytest.raises(KeyError, match="one of PlainLayer_0/Dense_0"):
        report["Dense_9"]
    nested = replace(report.rows[0], index=(2, 0))
    verdict = hondo.diagnosis.Verdict("dead", nested.layer, nested.index, 1.0, 0.5, "")
    assert verdict.name == nested.name == "PlainLayer_0/Dense_0[2,0]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": None}, "batch must be given"),
        ({"local": 1.0}, "local must be"),
        ({"tolerated": jnp.nan}, "tolerated must be"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments: dict, message: str) -> None:
    problem = linen_problem(depth=3, width=8)
    with pytest.raises(ValueError, match=message):
        hondo.diagnose(problem, **{"batch": batch_of(8), "key": KEY, **arguments})


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        Kind(64, 12, *FITTING[0]),
        Kind(64, 12, *FITTING[3]),
        Kind(32, 20, *FITTING[0], norm="layer", residual=True),
    ],
    ids=str,
)
def test_healthy_networks_have_no_verdict(kind: Kind) -> None:
    # `python spec_tests/healthy_networks.py 40` counts 0 on 3640 networks of 91 kinds.
    assert int(jnp.sum(count_verdicts(kind, 16, first=1000))) == 0


SHARDED = """
from functools import partial
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from cases_diagnosis import FAULTS, KEY, batch_of, plant, scanned_problem
import hondo
from benchmarks.diagnosis import measure_memory

problem, batch = scanned_problem(depth=6, width=32), batch_of(64)
params, state = problem.init(KEY, batch)
params = plant(params, "PlainLayer_1/Dense_0", 2, FAULTS["×1e3"])
mesh = Mesh(np.array(jax.devices()), ("data",))
split = NamedSharding(mesh, PartitionSpec("data"))
run = jax.jit(partial(hondo.diagnose, problem))
one = run(params, state, batch, key=KEY)
with mesh:
    eight = run(params, state, jax.device_put(batch, split), key=KEY)
assert len(jax.devices()) == 8
assert {v.index for v in eight.verdicts} == {2}
for a, b in zip(one.layers, eight.layers, strict=True):
    np.testing.assert_allclose(a.gradient_rms, b.gradient_rms, rtol=1e-4)
print("done")
"""


@pytest.mark.rounding
@pytest.mark.slow
def test_memory_beside_a_plain_step_does_not_grow_with_depth() -> None:
    for depth in (8, 64):
        sizes = measure_memory(depth)
        assert sizes["diagnosis"] < sizes["plain"] + 1


@pytest.mark.rounding
@pytest.mark.slow
def test_the_program_of_a_scanned_network_does_not_grow_with_depth() -> None:
    def size(depth: int) -> int:
        problem, batch = scanned_problem(depth=depth, width=8), batch_of(8)
        run = partial(hondo.diagnose, problem, batch=batch)
        text = str(jax.make_jaxpr(lambda key: run(key=key).values)(KEY))
        return len(text.splitlines())

    assert size(40) == size(10)


WIDE = """
import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
import jax.numpy as jnp
from cases_diagnosis import KEY, as_problem, batch_of, function_params, scanned
import hondo

params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), function_params(6, 32))
x, y = batch_of(32)
assert hondo.diagnose(as_problem(scanned, params), batch=(x, y), key=KEY).verdicts == ()
sick = {**params, "w": params["w"].at[1].multiply(1e-3)}
report = hondo.diagnose(as_problem(scanned, sick), batch=(x, y), key=KEY)
assert {v.index for v in report.verdicts} == {1}
assert report.loss.dtype == jnp.float64
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("script", "devices"), [(SHARDED, 8), (WIDE, 1)], ids=["sharded", "wide"])
def test_in_a_process_of_its_own(script: str, devices: int) -> None:
    environment = {
        **os.environ,
        **with_devices(devices),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "done", done.stderr
