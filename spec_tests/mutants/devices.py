"""Mutants of what several devices do with a batch that they share."""

import numpy as np

from hondo_spec.targets import reference_streaming as right
from spec_tests.mutants.mutant import Mutant


def _masked(name, seed_of, modeled_on=""):
    """Each device draws for its own share."""

    def dropout(seed, x, keep_prob, devices):
        shares = np.split(x, devices)
        return np.concatenate(
            [
                right.dropout_on_devices(seed_of(seed, device, devices), share, keep_prob, 1)
                for device, share in enumerate(shares)
            ]
        )

    return Mutant(name, "STR-04", {"dropout_on_devices": dropout}, modeled_on=modeled_on)


def _tiled(seed, x, keep_prob, devices):
    """The mask of the first eighth for all, however many devices there are."""
    mask = right.dropout_on_devices(seed, np.ones_like(x[: len(x) // 8]), keep_prob, 1) != 0
    return np.where(np.tile(mask, (8, 1)), x / keep_prob, 0)


def _measured(name, statistics, modeled_on=""):
    """Of what each device has, and its mask."""

    def measured(x, present, devices):
        shares = zip(np.split(np.float64(x), devices), np.split(present, devices), strict=True)
        with np.errstate(all="ignore"):
            return statistics([part[kept] for part, kept in shares], x)

    return Mutant(name, "STR-05", {"statistics_on_devices": measured}, modeled_on=modeled_on)


def _of_means(shares, x):
    each = [share for share in shares if len(share)]
    return tuple(np.mean([f(share, axis=0) for share in each], axis=0) for f in (np.mean, np.var))


def _of_the_first(shares, x):
    first = next(share for share in shares if len(share))
    return np.mean(first, axis=0), np.var(first, axis=0)


def _without_the_spread(shares, x):
    """The mean is right; the variances of the devices are averaged by their counts."""
    each = [share for share in shares if len(share)]
    counts = [len(share) for share in each]
    variance = np.average([np.var(share, axis=0) for share in each], axis=0, weights=counts)
    return np.mean(np.concatenate(each), axis=0), variance


def _mean_of_counts(shares, x):
    """Sums over the number of all entries, those that are left out included."""
    kept, count = np.concatenate(shares), x.size // x.shape[-1]
    mean = np.sum(kept, axis=0) / count
    return mean, np.sum(kept**2, axis=0) / count - mean**2


def _clipped(name, square, modeled_on=""):
    """By a squared norm that is `square(squares of the shares of each leaf, whether it is cut)`."""

    def clip(tree, limit, devices):
        total = 0.0
        for leaf in tree.values():
            is_cut = len(leaf) % devices == 0
            parts = np.split(np.float64(leaf), devices) if is_cut else [np.float64(leaf)]
            total += square([float(np.sum(part**2)) for part in parts], is_cut, devices)
        factor = min(1.0, limit / total**0.5)
        return {name: factor * leaf for name, leaf in tree.items()}

    return Mutant(name, "STR-06", {"clip_on_devices": clip}, modeled_on=modeled_on)


def _per_device(tree, limit, devices):
    """Each device clips its shares by their norm."""
    cut = [
        {k: np.split(v, devices)[d] if len(v) % devices == 0 else v for k, v in tree.items()}
        for d in range(devices)
    ]
    clipped = [right.clip_on_devices(part, limit, 1) for part in cut]
    return {
        k: np.concatenate([p[k] for p in clipped]) if len(v) % devices == 0 else clipped[0][k]
        for k, v in tree.items()
    }


def _stopped(name, stopped, modeled_on=""):
    return Mutant(name, "STR-09", {"stopped_on_devices": stopped}, modeled_on=modeled_on)


def _ends(losses, patience):
    return right.stopped_on_devices(losses, patience, 1)[0]


MUTANTS = (
    _masked(
        "a generator of its own on each device",
        lambda seed, device, devices: seed + 7919 * device,
        "Megatron-LM#6858, miles#3187: random states by rank",
    ),
    _masked("one seed on all devices", lambda seed, device, devices: seed),
    _masked("a seed by the number of devices", lambda seed, device, devices: seed * 64 + devices),
    Mutant("a mask that is repeated", "STR-04", {"dropout_on_devices": _tiled}),
    _measured(
        "statistics of the devices, averaged", _of_means, "pytorch's DDP without SyncBatchNorm"
    ),
    _measured("the statistics of the first device with anything", _of_the_first),
    _measured("variances of the devices without the spread of their means", _without_the_spread),
    _measured("sums over entries that are left out", _mean_of_counts),
    _clipped(
        "the norm of the shares of one device",
        lambda parts, is_cut, devices: parts[0],
        "pytorch#72548, torchtitan#766",
    ),
    _clipped(
        "the norm over the root of the devices",
        lambda parts, is_cut, devices: sum(parts) / devices,
        "miles_diffusion#35",
    ),
    _clipped(
        "a leaf that is whole counts on each device",
        lambda parts, is_cut, devices: sum(parts) * (1 if is_cut else devices),
    ),
    Mutant("each device clips by its own norm", "STR-06", {"clip_on_devices": _per_device}),
    _stopped(
        "each device stops by its own share",
        lambda losses, patience, devices: [
            _ends(share, patience) for share in np.split(losses, devices, axis=1)
        ],
        "Lightning#379, LightGBM#7290",
    ),
    _stopped(
        "the first device decides for all",
        lambda losses, patience, devices: (
            [_ends(np.split(losses, devices, axis=1)[0], patience)] * devices
        ),
    ),
    _stopped(
        "all end with the first that wants to",
        lambda losses, patience, devices: (
            [min(_ends(share, patience) for share in np.split(losses, devices, axis=1))] * devices
        ),
    ),
    _stopped(
        "the first device ends an epoch before the others",
        lambda losses, patience, devices: [
            max(1, _ends(losses, patience) - (device == 0)) for device in range(devices)
        ],
        "ignite#664",
    ),
)
