"""Mutants whose random numbers depend on each other, are too even, come again, or lack tails."""

import math

import numpy as np

from hondo_spec.targets import reference as right
from spec_tests.mutants.dropout import _masked
from spec_tests.mutants.mutant import Mutant


def _uniforms(seed, size):
    return np.random.default_rng([seed, 7]).random(size)


def _period(length):
    """The mask comes again after so many units."""
    return _masked(lambda k, s, p: np.resize(_uniforms(k, length), s) < p)


def _lagged(lag, axis):
    """Each second run of `lag` entries repeats the one before it."""

    def mask_of(seed, shape, p):
        u = np.random.default_rng([seed, 7]).random(shape)
        if shape[axis % len(shape)] < 2 * lag:
            return u < p
        place = np.arange(shape[axis])
        return np.take(u, place - lag * (place // lag % 2), axis) < p

    return _masked(mask_of)


def _flat_lag(lag):
    def mask_of(seed, shape, p):
        u, place = _uniforms(seed, math.prod(shape)), np.arange(math.prod(shape))
        return u[place - lag * (place // lag % 2)].reshape(shape) < p

    return _masked(mask_of)


def _diagonals(sign):
    """A mask along the diagonals of the last two axes."""

    def mask_of(seed, shape, p):
        if len(shape) < 2:
            return _uniforms(seed, shape) < p
        rows, columns = np.indices(shape)[-2:]
        u = _uniforms(seed, (math.prod(shape[:-2]), shape[-2] + shape[-1]))
        first = np.arange(len(u)).reshape((*shape[:-2], 1, 1))
        return u[first, (rows + sign * columns) % u.shape[1]] < p

    return _masked(mask_of)


def _shifted(shift):
    """Neighboring seeds draw one sequence, moved by so many units."""

    def mask_of(seed, shape, p):
        stream = _uniforms(seed // 64, math.prod(shape) + 64 * abs(shift))
        start = shift * (seed % 64) if shift > 0 else -shift * (63 - seed % 64)
        return stream[start : start + math.prod(shape)].reshape(shape) < p

    return _masked(mask_of)


def _exact_share(seed, shape, p):
    """Exactly P n are kept."""
    n = math.prod(shape)
    order = np.argsort(_uniforms(seed, n)).argsort()
    return (order < round(p * n)).reshape(shape)


def _exact_rows(seed, shape, p):
    """Exactly P of each example, where there are many units."""
    size = math.prod(shape[1:])
    if size < 32:
        return _uniforms(seed, shape) < p
    u = _uniforms(seed, (shape[0], size))
    return (u.argsort(axis=1).argsort(axis=1) < round(p * size)).reshape(shape)


def _by_z(change):
    """Noise by other normal numbers."""

    def gaussian_noise(seed, x, std):
        z = np.random.default_rng(seed).normal(size=np.shape(x))
        return (x + std * change(z)).astype(x.dtype)

    return {"gaussian_noise": gaussian_noise}


def _come_again(z):
    return np.resize(z.ravel()[: 2**14], z.shape)


def _centered(z):
    return z - z.mean() if z.size > 64 else z


def _of_size_1(z):
    return z / z.std() if z.size > 64 else z


def _redrawn(bound):
    """Normal numbers beyond the bound are folded back."""
    return lambda z: np.where(np.abs(z) > bound, np.sign(z) * (2 * bound - np.abs(z)), z)


def _weights(name, change):
    """A scheme whose weights are changed where there are many."""
    scheme = right.OPERATIONS[name]
    return {name: lambda k, s: np.float32(change(scheme(k, s), k)) if len(s) > 1 else scheme(k, s)}


def _repeat_columns(lag):
    def change(w, _):
        place = np.arange(w.shape[-1])
        return w[..., place - lag * (place // lag % 2)] if w.shape[-1] >= 2 * lag else w

    return change


def _repeat_rows(lag):
    def change(w, _):
        place = np.arange(w.shape[-2])
        return w[..., place - lag * (place // lag % 2), :] if w.shape[-2] >= 2 * lag else w

    return change


def _toeplitz(w, _):
    rows, columns = np.indices(w.shape[-2:])
    line = np.resize(w.ravel(), sum(w.shape[-2:]))
    return np.broadcast_to(line[(rows - columns) % len(line)], w.shape)


def _periodic(length):
    return lambda w, _: np.resize(w.ravel()[:length], w.shape)


def _balanced(w, _):
    """As many positive as negative weights."""
    flat = np.abs(w.ravel())
    signs = np.where(np.argsort(np.argsort(w.ravel())) % 2, 1, -1)
    return (flat * signs).reshape(w.shape)


def _standardized(w, _):
    """Exactly the variance that is wanted."""
    fan_in = w.size // w.shape[-1]
    return w * math.sqrt(2 / fan_in / np.mean(np.float64(w) ** 2))


def _cut_at_four(w, _):
    sigma = math.sqrt(2 * w.shape[-1] / w.size)
    return sigma * _redrawn(4.0)(w / sigma)


def _row_on(name):
    """The rows of the next seed are those of this one, a row on."""
    scheme = right.OPERATIONS[name]

    def draw(seed, shape):
        tall = (*shape[:-2], shape[-2] + 64, shape[-1])
        scale = math.sqrt(tall[-2] / shape[-2])
        rows = np.arange(shape[-2]) + seed % 64
        return np.float32(scale * np.take(scheme(seed // 64, tall), rows, -2))

    return {name: draw}


def _last_tap(w, _):
    """The last place of a window repeats the first."""
    if w.ndim > 2:
        w = w.copy()
        w[-1] = w[0]
    return w


def _coins(change):
    """Flips by other coins."""

    def random_flip(seed, images):
        coin = change(_uniforms(seed, len(images)), seed)
        return np.where(coin[:, None, None, None], right.flip(images), images)

    return {"random_flip": random_flip}


def _half_of_all(u, _):
    return np.argsort(np.argsort(u)) < len(u) // 2


def _coin_lag(lag):
    def change(u, _):
        place = np.arange(len(u))
        return u[place - lag * (place // lag % 2)] < 0.5

    return change


def _indices(change):
    return {
        "bootstrap_indices": lambda k, n: (
            change(right.bootstrap_indices(k, n), k, n) if n > 64 else right.bootstrap_indices(k, n)
        )
    }


def _stratified(indices, seed, count):
    """As many from each half of the examples, in a random order."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, count // 2, count) + np.arange(count) % 2 * (count // 2)
    return rng.permutation(places)


def _lagged_indices(indices, seed, count):
    place = np.arange(count)
    return indices[place - 8 * (place // 8 % 2)]


def _next_place(indices, seed, count):
    return np.random.default_rng(seed // 64).integers(0, count, count + 64)[seed % 64 :][:count]


def _third_leaf(seed, tree, std):
    """The third leaf has the noise of the first where their shapes agree."""
    noisy = dict(right.parameter_noise(seed, tree, std))
    names = list(tree)
    if len(names) > 2 and tree[names[0]].shape == tree[names[2]].shape:
        noisy[names[2]] = tree[names[2]] + (noisy[names[0]] - tree[names[0]])
    return noisy


def _corners(change):
    def random_crop(seed, images, size):
        rng = np.random.default_rng(seed)
        places = np.array(images.shape[1:3]) - size + 1
        offsets = change(rng.integers(0, places, (len(images), 2)))
        pairs = zip(images, offsets, strict=True)
        return np.stack([image[i : i + size, j : j + size] for image, (i, j) in pairs])

    return {"random_crop": random_crop}


def _lagged_corners(offsets):
    place = np.arange(len(offsets))
    return offsets[place - 16 * (place // 16 % 2)]


MASKS = (
    *(
        Mutant(f"a mask of which {lag} units come twice", "DRP-03", _lagged(lag, -1))
        for lag in (3, 5, 16)
    ),
    *(
        Mutant(f"a mask of which {lag} examples come twice", "DRP-04", _lagged(lag, 0))
        for lag in (4, 7, 13)
    ),
    *(
        Mutant(f"a mask of which {lag} in flat order come twice", "DRP-03", _flat_lag(lag))
        for lag in (9, 128, 1000)
    ),
    Mutant("a mask along falling diagonals", "DRP-03", _diagonals(-1)),
    Mutant("a mask along rising diagonals", "DRP-03", _diagonals(1)),
    *(Mutant(f"a mask of period 2^{k}", "DRP-03", _period(2**k)) for k in (8, 12, 16)),
    *(
        Mutant(f"masks of neighboring seeds, {n} units on", "DRP-05", _shifted(n))
        for n in (1, -1, 8)
    ),
    Mutant("masks of neighboring seeds, a row on", "DRP-05", _shifted(96)),
    Mutant("exactly P n kept", "DRP-02", _masked(_exact_share)),
    Mutant("exactly P of each example kept", "DRP-02", _masked(_exact_rows)),
)  # fmt: skip

NOISE = (
    Mutant("noise cut at three deviations", "NOI-01", _by_z(_redrawn(3.0))),
    Mutant("noise cut at four deviations", "NOI-01", _by_z(_redrawn(4.0))),
    Mutant("noise of which sixteen entries come twice", "NOI-01", _by_z(
        lambda z: z[:, np.arange(z.shape[1]) - 16 * (np.arange(z.shape[1]) // 16 % 2)]
        if z.ndim == 2 and z.shape[1] > 31 else z)),
    Mutant("noise of period 2^14", "NOI-01", _by_z(_come_again)),
    Mutant("noise of mean 0 exactly", "NOI-01", _by_z(_centered)),
    Mutant("noise of variance 1 exactly", "NOI-01", _by_z(_of_size_1)),
    Mutant("noise whose magnitudes come in pairs", "NOI-01", _by_z(
        lambda z: np.where(np.arange(z.size).reshape(z.shape) % 2, np.sign(z) * np.abs(
            np.roll(z.ravel(), 1).reshape(z.shape)), z))),
    Mutant("a third weight with the noise of one", "NOI-05", {"parameter_noise": _third_leaf}),
)  # fmt: skip

WEIGHTS = (
    Mutant("five columns that come twice", "INI-11", _weights("he_normal", _repeat_columns(5))),
    Mutant("sixteen rows that come twice", "INI-11", _weights("glorot_normal", _repeat_rows(16))),
    Mutant("weights along diagonals", "INI-02", _weights("glorot_uniform", _toeplitz)),
    Mutant("weights of period 2^12", "INI-11", _weights("he_uniform", _periodic(2**12))),
    Mutant("weights of period 2^15", "INI-09", _weights("lecun_normal", _periodic(2**15))),
    Mutant("as many positive weights as negative", "INI-10", _weights("he_normal", _balanced)),
    Mutant("weights of their variance exactly", "INI-09", _weights("he_normal", _standardized)),
    Mutant("weights of the next seed, a row on", "INI-02", _row_on("glorot_uniform")),
    Mutant("normal weights of the next seed, a row on", "INI-12", _row_on("he_normal")),
    Mutant("a window whose last place is its first", "INI-11", _weights("he_uniform", _last_tap)),
    Mutant("normal weights cut at four deviations", "INI-09", _weights("he_normal", _cut_at_four)),
)  # fmt: skip

EXAMPLES = (
    Mutant("flips of half of all images", "AUG-03", _coins(_half_of_all)),
    Mutant("flips of which sixteen come twice", "AUG-03", _coins(_coin_lag(16))),
    Mutant("flips of the next seed, an image on", "AUG-03", _coins(
        lambda u, seed: _uniforms(seed // 64, len(u) + 64)[seed % 64 :][: len(u)] < 0.5)),
    Mutant("flips of period 256", "AUG-03", _coins(lambda u, _: np.resize(u[:256], len(u)) < 0.5)),
    Mutant("a bootstrap of as many from each half", "ENS-05", _indices(_stratified)),
    Mutant("a bootstrap of which eight come twice", "ENS-05", _indices(_lagged_indices)),
    Mutant("a bootstrap of the next seed, a place on", "ENS-05", _indices(_next_place)),
    Mutant("crops of which sixteen come twice", "AUG-04", _corners(_lagged_corners)),
    Mutant("crops of period 512", "AUG-04", _corners(lambda o: np.resize(o[:512], o.shape))),
)  # fmt: skip

MUTANTS = (*MASKS, *NOISE, *WEIGHTS, *EXAMPLES)
