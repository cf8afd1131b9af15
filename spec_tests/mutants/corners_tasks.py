"""Mutants in the corners of augmentation, stopping, diagnosis, streaming and contracts."""

import math

import numpy as np

from hondo_spec.draws import double
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_streaming as streaming
from hondo_spec.targets.reference_chains import CURVES
from spec_tests.mutants.corners import swapped
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import ends, instead, narrow, rank, second
from spec_tests.mutants.streaming import _guarded
from spec_tests.mutants.wider import _diagnosing


def _mirrored(name, mirror):
    """A coin for each image by which it is mirrored in another way."""

    def operation(seed, images, *labels):
        coin = np.random.default_rng(seed).random(len(images)) < 0.5
        new = np.where(coin[:, None, None, None], mirror(images), images)
        return (new, *labels) if labels else new

    return {name: operation}


def _upside_down(x):
    return x[:, ::-1] if x.shape[1] == x.shape[2] else x[:, :, ::-1]


def _blue_for_red(x):
    return x[:, :, ::-1, ::-1] if x.shape[-1] == 3 else x[:, :, ::-1]


def _first_channel(seed, images, labels):
    mixed, new_labels = right.mixup(seed, images, labels)
    return np.concatenate([mixed[..., :1], images[..., 1:]], axis=-1), new_labels


IMAGES = (
    *(
        Mutant(f"{what} where an image is {done}", id, _mirrored(name, mirror))
        for name, done, id in (
            ("random_flip", "flipped", "AUG-03"), ("augment", "augmented", "AUG-02"))
        for what, mirror in (
            ("a square upside down", _upside_down), ("colors in reverse", _blue_for_red))
    ),
    *(
        Mutant(f"{what} in double precision", "AUG-01", {
            name: lambda x, name=name: double(right.OPERATIONS[name](x))})
        for what, name in (("a flip", "flip"), ("a turn", "quarter_turn"))
    ),
    *narrow((
        ("crops of colors in reverse", "AUG-04", "random_crop",
         second(ends(3)), lambda y: y[..., ::-1]),
        ("turns of images of bytes", "AUG-01", "quarter_turn",
         lambda x: x.dtype == np.uint8, lambda y: np.rot90(y, 2, axes=(1, 2))),
        ("a flip of bytes upside down", "AUG-01", "flip",
         lambda x: x.dtype == np.uint8, lambda y: y[:, ::-1, ::-1]),
    )),
    Mutant("only the first channel is mixed", "AUG-05", {"mixup": _first_channel}),
)  # fmt: skip


def _backwards(name):
    return _diagnosing(lambda found, *_: {name: found[name][::-1]})


def _mean_gain(found, *_):
    """The geometric mean of all layers for each."""
    return {"gain": np.full_like(found["gain"], np.exp(np.mean(np.log(found["gain"]))))}


def _inner_halved(found, x, weights, biases, activation, *_):
    sizes = found["response_rms"]
    halved = np.append(sizes[:-1] / 2, sizes[-1:])
    return {"response_rms": halved if activation == "sigmoid" else sizes}


def _before_the_slope(found, x, weights, biases, activation, *_):
    """The inner gradients of sigmoids over their steepest slope."""
    sizes = found["gradient_rms"]
    larger = np.append(4 * sizes[:-1], sizes[-1:])
    return {"gradient_rms": larger if activation == "sigmoid" else sizes}


def _without_depth(kind):
    """No such verdict where each layer by itself is in scale."""

    def change(found, *_):
        sizes = found["gradient_rms"]
        steps = np.log([*found["gain"], *(sizes[1:] / sizes[:-1])])
        alone = np.any(np.abs(steps) >= math.log(10))
        return {"verdicts": tuple(v for v in found["verdicts"] if alone or v[0] != kind)}

    return _diagnosing(change)


def _behind_a_stop(change):
    """Of a chain whose gradient is stopped."""
    return _diagnosing(lambda found, x, w, b, a, g, stop, _: change(found) if stop >= 0 else {})


def _mean_of_sigmoids(found, x, weights, biases, activation, *_):
    """Their loss over the batch."""
    return {"loss": found["loss"] / (len(x) if activation == "sigmoid" else 1)}


def _sixty_steps(activation, weight_variance, bias_variance):
    """Toward the fixed point, from 1."""
    nodes, parts = np.polynomial.hermite.hermgauss(64)
    q, chi, (curve, slope) = 1.0, 0.0, CURVES[activation]
    for _ in range(60):
        z = np.sqrt(2 * q) * nodes
        q, chi = (
            weight_variance * (parts @ f(z) ** 2) / np.sqrt(np.pi) + more
            for f, more in ((curve, bias_variance), (slope, 0))
        )
    return q, chi


DIAGNOSIS = (
    Mutant("gains in reverse", "DIA-13", _backwards("gain")),
    Mutant("gains of activations in reverse", "DIA-13", _backwards("activation_gain")),
    Mutant("one geometric mean for all gains", "DIA-13", _diagnosing(_mean_gain)),
    Mutant("inner responses of sigmoids halved", "DIA-13", _diagnosing(_inner_halved)),
    Mutant("gradients of sigmoids before the slope", "DIA-02", _diagnosing(_before_the_slope)),
    *(
        Mutant(f"no verdict on {what} over the whole depth", "DIA-05", _without_depth(kind))
        for what, kind in (
            ("responses that explode", "exploding_response"),
            ("gradients that explode", "exploding_gradient"),
            ("responses that vanish", "vanishing_response"),
        )
    ),
    Mutant("gradients behind a stop halved", "DIA-15", _behind_a_stop(
        lambda found: {"gradient_rms": found["gradient_rms"] / 2})),
    Mutant("no loss behind a stop", "DIA-15", _behind_a_stop(lambda found: {"loss": 0.0})),
    Mutant("a loss of sigmoids over the batch", "DIA-10", _diagnosing(_mean_of_sigmoids)),
    Mutant("sixty steps to a fixed point", "DIA-12", {"mean_field": _sixty_steps}),
)  # fmt: skip


STOPPING = swapped((
    ("no min_delta where patience is above 3", "EST-04", "early_stopping",
     lambda values, patience, delta, mode: patience > 3,
     lambda values, patience, delta, mode: right.early_stopping(values, patience, 0.0, mode)),
))  # fmt: skip


def _mean_of_devices(x, present, devices):
    """The means of the statistics of each device that has some."""
    shares = zip(np.split(double(x), devices), np.split(present, devices), strict=True)
    kept = [share[its] for share, its in shares if np.sum(its) > 1]
    each = [(np.mean(z, axis=0), np.var(z, axis=0, ddof=1)) for z in kept]
    return tuple(np.mean(each, axis=0))


def _keeps(is_bad):
    """Of the steps that are not finite only some are skipped."""
    return lambda state, new, rows, wanted: state if is_bad(rows, wanted) else new


STREAMING = (
    Mutant("devices drop with P", "STR-04", {
        "dropout_on_devices": lambda k, x, p, d: streaming.dropout_on_devices(k, x, 1 - p, d)}),
    Mutant("devices do not divide by P", "STR-04", {
        "dropout_on_devices": lambda k, x, p, d: p * streaming.dropout_on_devices(k, x, p, d)}),
    Mutant("a patience of 3 on devices", "STR-09", {
        "stopped_on_devices": lambda x, p, d: streaming.stopped_on_devices(x, 3, d)}),
    _guarded("a guard that looks at the first feature", _keeps(
        lambda rows, wanted: not np.isfinite([*rows[:, 0], *wanted]).all())),
    _guarded("a guard against rows that are not finite at all", _keeps(
        lambda rows, wanted: not (np.isfinite(rows).any(axis=1) & np.isfinite(wanted)).all())),
    *swapped((
        ("the mean of the devices' statistics of a matrix", "STR-05", "statistics_on_devices",
         rank(2), _mean_of_devices),
        ("a mean that skips infinities", "STR-08", "batched_mean",
         lambda v, size: not np.isinf(v).all(),
         lambda v, size: streaming.batched_mean(v[~np.isinf(v)], size)),
    )),
)  # fmt: skip


def _judged(name, where, message=""):
    """Takes such values of a hyperparameter, or refuses them."""
    return instead(
        "refusal",
        lambda which, value: which == name and where(value),
        lambda which, value: (which, message and f"{which} is out of range: {value}"),
    )


CONTRACTS = (
    Mutant("an epsilon below 1e-4 is refused", "XCT-04",
           _judged("epsilon", lambda e: 0 < e < 1e-4, "refused")),
    Mutant("a strength of -0.5 is taken", "XCT-04", _judged("strength", lambda s: -1 < s < 0)),
    Mutant("a limit of -0.5 is taken", "XCT-04", _judged("limit", lambda c: -1 < c < 0)),
    Mutant("an epsilon of -1e-5 is taken", "XCT-04", _judged("epsilon", lambda e: -1e-3 < e < 0)),
)  # fmt: skip

MUTANTS = (*IMAGES, *STOPPING, *DIAGNOSIS, *STREAMING, *CONTRACTS)
