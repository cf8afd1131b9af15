"""XCT: what every function promises, whatever it computes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.batch_norm import EPS
from hondo_spec.bounds import TINY, gamma, standard, ulps
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds

prop = Area("XCT", source="the contract of every function")
OF_ONE_CALL = "layer_norm clip_by_global_norm inverted_dropout glorot_uniform max_norm"
OF_A_LIMIT = ("clip_by_global_norm", "max_norm", "dropout")
OF_DATA = "batch_norm inverted_dropout clip_by_global_norm clip_by_value gaussian_noise"
RANGED = "inverted_dropout l2_penalty batch_norm early_stopping clip_by_global_norm gaussian_noise"
# What each hyperparameter may be, and what it may not be.
RANGES = {
    "keep_prob": ((0.0, 2.0**-20, 0.5, 1.0), (-(2.0**-20), 1 + 2.0**-20, -np.inf, np.inf, np.nan)),
    "strength": ((0.0, 2.0**-20, 2.0, 1e6), (-1.0, -(2.0**-20), -np.inf, np.nan)),
    "epsilon": ((1e-6, 0.001, 1.0), (0.0, -(2.0**-20), -1.0, np.nan)),
    # Some take a patience of 0, as 1 or as none at all: it is nobody's mistake.
    "patience": ((1, 7, 300), (-1, -3)),
    "limit": ((0.0, 2.0**-20, 0.5, 10.0), (-1.0, -(2.0**-20), -np.inf, np.nan)),
    "std": ((0.0, 2.0**-20, 3.0), (-0.5, -np.inf, np.nan)),
}


@prop(1, "must", "bound", symbols=OF_ONE_CALL)
@given(limit=(0.5, 100.0), seed=(0, 255, 2**30))
def _compiled_and_mapped_mean_the_same(
    ways, layer_norm=None, clip_by_global_norm=None, dropout=None, glorot_uniform=None,
    max_norm=None, rms_norm=None, group_norm=None, softmax=None, he_normal=None,
    cross_entropy=None, batch_norm=None, weight_norm=None, l2_normalize=None, gaussian_noise=None,
    *, limit, seed,
):  # fmt: skip
    r"""an operation means the same run eagerly, compiled and mapped over a batch of problems
    $f = \operatorname{jit}f = \operatorname{vmap}f$
    """
    x = draws.normal(seed, (4, 8))
    scale, bias = np.sin(draws.normal(seed + 1, (2, 8)))
    images = x.reshape((4, 8) if seed == 255 else (2, 2, 1, 8))
    calls = {
        "layer_norm": (layer_norm, x, scale, bias, EPS), "rms_norm": (rms_norm, x, scale, EPS),
        "group_norm": (group_norm, x, 2, EPS), "weight_norm": (weight_norm, x, scale),
        "batch_norm": (batch_norm, images, bias, scale**2, scale, bias, 0.9, EPS),
        "gaussian_noise": (gaussian_noise, seed, x, limit),
        "max_norm": (max_norm, x, limit), "dropout": (dropout, seed, x, min(limit, 1) / 2),
        "glorot_uniform": (glorot_uniform, seed, (4, 8)), "he_normal": (he_normal, seed, (4, 8)),
        "clip_by_global_norm": (clip_by_global_norm, {"a": x}, limit), "softmax": (softmax, x),
        "cross_entropy": (cross_entropy, x, draws.classes_of(x)), "l2_normalize": (l2_normalize, x),
    }  # fmt: skip
    for name, (operation, *arguments) in calls.items():
        # What has no limit is asked once.
        if operation is not None and (limit < 1 or name in OF_A_LIMIT):
            yield from _alike(name, x, operation(*arguments), ways(name, *arguments))


def _alike(name: str, x: np.ndarray, direct: Any, answers: Mapping[str, Any]) -> Iterator[Check]:
    """Every way gives what the operation gives, but for what is rounded."""
    for way, answer in answers.items():
        for want, got in zip(_parts(direct), _parts(answer), strict=True):
            yield Check(f"{name}, {way}", got, want, _rounding(name, x, np.abs(np.float64(want))))


def _parts(answer: Any) -> tuple[Any, ...]:
    inner = tuple(answer.values()) if isinstance(answer, Mapping) else answer
    return inner if isinstance(inner, tuple) else (inner,)


def _rounding(name: str, x: np.ndarray, sizes: np.ndarray) -> Any:
    """What two ways to what is of these sizes may differ by, in whatever 32 entries of size 1.

    Scales and biases are at most 1.
    """
    roundings = {
        "layer_norm": 2 * standard(x, EPS, axes=(1,)).bound + 2 * gamma(4) * (2 + sizes),
        "clip_by_global_norm": 2 * gamma(x.size + 4) * sizes + TINY,
        # As an update it is w + (w' − w).
        "max_norm": 2 * gamma(len(x) + 10) * sizes + 2 * gamma(2) * np.abs(x) + TINY,
        "dropout": 0.0,
        # w = a(2u − 1) rounds at the size of a.
        "glorot_uniform": ulps(2) * np.max(sizes),
    }
    return roundings.get(name, gamma(64) * (1 + sizes))


@prop(2, "must", "structural", symbols=OF_DATA)
@given(dtype=("float32", *draws.HALVES), shape=((3, 8), (3, 5, 9), (2, 3, 5, 8)))
def _dtype_and_shape_are_kept(
    batch_norm, dropout=None, clip_by_global_norm=None, clip_by_value=None, gaussian_noise=None,
    *, dtype, shape,
):  # fmt: skip
    r"""the dtype and the shape of the data are kept, in a tree those of each leaf, and no input is
    written to
    $\operatorname{dtype}(y) = \operatorname{dtype}(x)$
    """
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    kept, zero, one = x.copy(), *(np.full(shape[-1], k, np.float32) for k in (0, 1))
    y, *new = batch_norm(x, zero, one, one, zero, 0.9, EPS)
    widths = [np.asarray(statistic).dtype.itemsize for statistic in new]
    yield Holds("running statistics in at least 32 bits", min(widths) >= 4, widths)
    yield _is_like(x, "batch norm", y)
    if dropout is not None:
        yield _is_like(x, "dropout", dropout(0, x, 0.5))
    # One shape is enough for what goes by entry; those of leaves are in every property of clipping.
    if clip_by_global_norm is not None and x.ndim == 2:
        clipped = clip_by_global_norm({"a": one, "b": x}, 1.0)
        yield _is_like(one, "a, clipped", clipped["a"])
        yield _is_like(x, "b, clipped", clipped["b"])
    if clip_by_value is not None and x.ndim == 2:
        yield _is_like(x, "clamping", clip_by_value({"a": x}, 1.0)["a"])
    if gaussian_noise is not None and x.ndim == 2:
        yield _is_like(x, "noise", gaussian_noise(0, x, 1.0))
    yield Exact("x", x.astype(np.float32), kept.astype(np.float32))


def _is_like(data: np.ndarray, name: str, y: np.ndarray) -> Holds:
    found, want = ((str(np.asarray(z).dtype), np.shape(z)) for z in (y, data))
    return Holds(f"dtype and shape of {name}", found == want, found)


@prop(3, "should", "structural", symbols="gaussian_noise clip_by_global_norm")
@given(seed=(0, 1))
def _one_shape_is_compiled_once(
    traces, layer_norm=None, batch_norm=None, max_norm=None, l2_penalty=None, sgd_step=None, *, seed
):
    r"""an operation is compiled once for all values of one shape and dtype,
    Python numbers included
    $\#\text{traces} = 1$
    """
    x, numbers = draws.normal(seed, (3, 4, 5)), (0.25, 0.5, 0.75)
    rows, trees = np.abs(x[:, 0]), [{"a/kernel": part} for part in x]
    calls = {
        "gaussian_noise": (traces, [(0, 1, 2), x, numbers]),
        "clip_by_global_norm": (traces, [trees, numbers]),
        "layer_norm": (layer_norm, [x, rows, rows, numbers]),
        "batch_norm": (batch_norm, [x, *[rows] * 4, numbers, numbers]),
        "max_norm": (max_norm, [x, numbers]),
        "l2_penalty": (l2_penalty, [trees, numbers]),
        "sgd_step": (sgd_step, [x, x, numbers, numbers]),
    }
    for name, (asked, arguments) in calls.items():
        if asked is not None:
            yield Exact(f"traces of {name}", traces(name, [*zip(*arguments, strict=True)]), 1)


@prop(4, "must", "structural", symbols=RANGED)
@given(hyperparameter=tuple(RANGES))
def _hyperparameters_out_of_range_are_refused(refusal, *, hyperparameter):
    r"""a hyperparameter out of its range is refused by name, one inside it is taken
    $P \notin [0, 1],\ \lambda < 0,\ \varepsilon \le 0,\ p < 1,\ c < 0$
    """
    good, bad = RANGES[hyperparameter]
    for value in good:
        name, message = refusal(hyperparameter, value)
        yield Holds(f"{name} = {value} is taken", message == "", message)
    for value in bad:
        name, message = refusal(hyperparameter, value)
        by_name = name in re.findall(r"\w+", message)
        yield Holds(f"{name} = {value} is refused by name", by_name, message)
