"""Mutants in the corners of augmentation, diagnosis, streaming and contracts."""

import numpy as np

from hondo_spec.draws import double
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_streaming as streaming
from spec_tests.mutants.corners import swapped
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import ends, instead, narrow, second
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


DIAGNOSIS = (
    Mutant("gains in reverse", "DIA-13", _backwards("gain")),
    Mutant("gains of activations in reverse", "DIA-13", _backwards("activation_gain")),
    Mutant("one geometric mean for all gains", "DIA-13", _diagnosing(_mean_gain)),
    Mutant("inner responses of sigmoids halved", "DIA-13", _diagnosing(_inner_halved)),
)


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

MUTANTS = (*IMAGES, *DIAGNOSIS, *STREAMING, *CONTRACTS)
