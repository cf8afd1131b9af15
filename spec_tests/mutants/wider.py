"""Mutants of clipping, stopping and streaming that are right in all sizes but large or odd ones."""

import math

import numpy as np

from hondo_spec.draws import double
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_diagnosis as diagnosis
from hondo_spec.targets import reference_norms as norms
from hondo_spec.targets import reference_penalties as penalties
from hondo_spec.targets import reference_streaming as streaming
from spec_tests.mutants.clipping import _by
from spec_tests.mutants.early_stopping import _stopper
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import half, instead, last_off, narrow, off
from spec_tests.mutants.streaming import _augmented, _coin, _order, _recorded, _windowed


def _has_half(tree, *_):
    return any(half(leaf) for leaf in tree.values())


def _up_to_the_limit(tree, limit):
    """Also what is inside it."""
    norm = penalties.global_norm(tree)
    scale = limit / norm if 0 < norm < math.inf and limit < math.inf else 1.0
    return {k: (np.float64(g) * scale).astype(g.dtype) for k, g in tree.items()}


def _without_halves(tree, limit):
    clipped = penalties.clip_by_global_norm(tree, limit)
    return {k: g if half(g) else clipped[k] for k, g in tree.items()}


def _blocks(size):
    """The norm by blocks; what is left of a leaf that has some is dropped."""

    def norm(tree):
        flat = [np.ravel(double(g)) for g in tree.values()]
        whole = [g[: g.size // size * size] if g.size > size else g for g in flat]
        return math.sqrt(sum(float(np.sum(g**2)) for g in whole))

    return norm


def _rows(count):
    """The norm of the first rows of each leaf."""
    return lambda tree: penalties.global_norm(
        {k: np.atleast_1d(g)[:count] for k, g in tree.items()}
    )


def _last_of_leaves(tree):
    """Every leaf with another last entry."""
    return {k: last_off(g).astype(g.dtype) if g.size else g for k, g in tree.items()}


def _first_entries(tree, limit):
    """Skips by the first entry of each leaf."""
    if all(np.isfinite(np.ravel(g)[:1]).all() for g in tree.values()):
        return penalties.clip_by_global_norm(tree, limit)
    return {k: np.zeros_like(g) for k, g in tree.items()}


def _blocks_of_units(g, w, ratio, epsilon):
    """Adaptive clipping whose lengths are those of the first 64 inputs of a unit."""
    if len(g) <= 64:
        return penalties.adaptive_clip(g, w, ratio, epsilon)
    norms = [np.sqrt(np.sum(double(part)[:64] ** 2, axis=0)) for part in (g, w)]
    limit = ratio * np.maximum(norms[1], epsilon)
    return np.where(norms[0] > limit, g * (limit / norms[0]), g).astype(g.dtype)


def _takes_the_next(longest):
    """So many bad steps in a row are skipped, and the next one is taken."""

    def skipping_descent(gradients, learning_rate, momentum):
        w, v, bad = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1]), 0
        for g in double(gradients):
            bad = 0 if np.isfinite(g).all() else bad + 1
            if bad and bad <= longest:
                continue
            v = momentum * v + g
            w = w - learning_rate * v
        return w

    return {"skipping_descent": skipping_descent}


CLIPPING = (
    Mutant(
        "halves inside the limit scaled up to it",
        "CLP-03",
        instead("clip_by_global_norm", _has_half, _up_to_the_limit),
    ),
    Mutant(
        "halves that are not clipped", "CLP-02 CLP-05", {"clip_by_global_norm": _without_halves}
    ),
    *narrow((
        ("clipping by 2 % more with halves", "CLP-02", "clip_by_global_norm",
         lambda t, c: _has_half(t) and penalties.global_norm(t) > c, off),
        ("halves of units inside that are scaled", "CLP-10", "adaptive_clip",
         lambda g, *_: half(g), off),
        ("a clamp of leaves of more than 128", "CLP-01", "clip_by_value",
         lambda t, c: any(g.size > 128 for g in t.values()), _last_of_leaves),
        ("a norm of more than a thousand entries", "GRD-05", "global_norm",
         lambda t: any(g.size > 1024 for g in t.values()), off),
    )),
    *(
        Mutant(f"a norm by blocks of {size}", "CLP-02 CLP-05", _by(_blocks(size)))
        for size in (64, 100, 128, 256, 512, 1000)
    ),
    *(
        Mutant(
            f"the norm of a tree by blocks of {size}", "GRD-05", {"global_norm": _blocks(size)}
        )
        for size in (64, 1000)
    ),
    Mutant("a norm of the first fifty rows", "CLP-02 CLP-05", _by(_rows(50))),
    Mutant("a norm of the first 512 rows", "CLP-02 CLP-05", _by(_rows(512))),
    Mutant(
        "a skip that looks at the first entries",
        "CLP-08",
        {"clip_by_global_norm": _first_entries},
        {"nonfinite": "skip"},
    ),
    Mutant("lengths of 64 inputs", "CLP-10", {"adaptive_clip": _blocks_of_units}),
    Mutant(
        "a sixth bad step in a row that is taken",
        "CLP-11",
        _takes_the_next(5),
        modeled_on="optax.apply_if_finite(max_consecutive_errors=5)",
    ),
    Mutant(
        "a learning rate of a quarter at most, where steps are skipped",
        "CLP-11",
        {"skipping_descent": lambda g, r, m: chains.skipping_descent(g, min(r, 0.25), m)},
    ),
)  # fmt: skip


def _with_baseline(change):
    """The rule above a baseline with other arguments."""

    def early_stopping_with_baseline(values, patience, baseline):
        return right.early_stopping_with_baseline(*change(values, patience, baseline))

    return {"early_stopping_with_baseline": early_stopping_with_baseline}


def _flags(change):
    return {"stopped_after": lambda values, p: chains.stopped_after(values, change(p))}


def _of_max(change):
    """Stopping on a maximum with other arguments."""

    def early_stopping(values, patience, min_delta, mode):
        if mode == "max":
            values, patience, min_delta = change(values, patience, min_delta)
        return right.early_stopping(values, patience, min_delta, mode)

    return {"early_stopping": early_stopping}


def _gain(least):
    """An improvement is at least this, which is a function of the best and of min_delta."""
    return _stopper(lambda b, v, d, at: b - v > (max(d, least(b, d)) if math.isfinite(b) else d))


def _descent(change):
    return {
        "gradient_descent": lambda h, w, r, t: chains.gradient_descent(h, w, *change(r, t)),
    }


STOPPING = (
    *(
        Mutant(
            f"a patience of {most} at most above a baseline",
            "EST-11",
            _with_baseline(lambda v, p, b, most=most: (v, min(p, most), b)),
        )
        for most in (2, 10, 64, 127)
    ),
    Mutant(
        "a patience modulo 8 above a baseline",
        "EST-11",
        _with_baseline(lambda v, p, b: (v, p % 8 or 8, b)),
    ),
    Mutant(
        "twenty values above a baseline",
        "EST-11",
        _with_baseline(lambda v, p, b: (v[:20], p, b)),
    ),
    *(
        Mutant(
            f"flags by a patience of {most} at most",
            "EST-09",
            _flags(lambda p, most=most: min(p, most)),
        )
        for most in (2, 10, 64)
    ),
    Mutant(
        "a patience of ten at most for a maximum",
        "EST-07",
        _of_max(lambda v, p, d: (v, min(p, 10), d)),
    ),
    Mutant(
        "a maximum in steps of 1e-8",
        "EST-07",
        _of_max(lambda v, p, d: ([round(x, 8) if math.isfinite(x) else x for x in v], p, d)),
    ),
    Mutant("gains below 1e-8 are ties", "EST-04", _gain(lambda b, d: 1e-8)),
    Mutant("gains below 1e-12 are ties", "EST-04", _gain(lambda b, d: 1e-12)),
    Mutant("gains below 1e-7 of the best are ties", "EST-04", _gain(lambda b, d: 1e-7 * abs(b))),
    Mutant(
        "a min_delta below 1e-8 that counts as none",
        "EST-04",
        _stopper(lambda b, v, d, at: b - v > (d if d > 1e-8 else 0)),
    ),
    Mutant(
        "a min_delta of 1 at most", "EST-04", _stopper(lambda b, v, d, at: b - v > min(d, 1.0))
    ),
    Mutant(
        "values of 1e9 at most", "EST-04", {
            "early_stopping": lambda values, p, d, m: right.early_stopping(
                [v if v != v else max(min(v, 1e9), -1e9) for v in values], p, d, m)}),
    Mutant("descent by a step of one half", "EST-10", _descent(lambda r, t: (0.5, t))),
    Mutant("steps of one half at most", "EST-10", _descent(lambda r, t: (min(r, 0.5), t))),
    Mutant("a learning rate in half precision", "EST-10", _descent(
        lambda r, t: (float(np.float16(r)), t))),
    Mutant("descent of at most sixty-four steps", "EST-10", _descent(lambda r, t: (r, min(t, 64)))),
)  # fmt: skip


def _shards(size):
    """Shards in a random order, each of them as it is."""

    def order(seed, epoch, count):
        if count <= size:
            return streaming.epoch_order(seed, epoch, count)
        shards = np.array_split(np.arange(count), count // size)
        places = np.random.default_rng([seed, epoch]).permutation(len(shards))
        return np.concatenate([shards[place] for place in places])

    return order


def _buffered(size):
    """A buffer of which a random example goes out and the next one comes in."""

    def order(seed, epoch, count):
        if count <= size:
            return streaming.epoch_order(seed, epoch, count)
        rng, buffer, out = np.random.default_rng([seed, epoch]), list(range(size)), []
        places = rng.integers(size, size=count - size)
        for new, place in enumerate(places.tolist(), start=size):
            out.append(buffer[place])
            buffer[place] = new
        return np.array([*out, *rng.permutation(buffer)])

    return order


def _whole_numbers(dtype):
    def order(seed, epoch, count):
        return streaming.epoch_order(seed, epoch, count).astype(dtype).astype(np.int64)

    return order


def _same_tail(seed, epoch, count):
    """Examples from the 128th on are shuffled once for all epochs."""
    order = streaming.epoch_order(seed, epoch, min(count, 128))
    if count <= 128:
        return order
    return np.append(order, 128 + streaming.epoch_order(seed, 0, count - 128))


def _step_of_a_byte(seed, count, batch_size, epochs, cuts):
    """A resumed run knows its step modulo 256."""
    whole = streaming.resumed_batches(seed, count, batch_size, epochs, [])
    parts = zip([0, *cuts], [*cuts, len(whole)], strict=True)
    places = [k - first + first % 256 for first, last in parts for k in range(first, last)]
    return whole[places]


def _kept(count):
    """Of the last states only so many are left, the best among them."""

    def best(losses):
        found = streaming.best_and_newest(losses[-count:])[0]
        return None if found is None else max(len(losses) - count, 0) + found

    return best


def _last_of_ties(losses):
    finite = [loss for loss in losses if math.isfinite(loss)]
    return len(losses) - 1 - losses[::-1].index(min(finite)) if finite else None


def _positive(losses):
    """A best of 1e-6 at least, by which losses of 0 and below are ties."""
    return streaming.best_and_newest([max(x, 1e-6) if x == x else x for x in losses])[0]


STREAMING = (
    *(
        _order(
            f"a shuffle in windows of {size}",
            "STR-02",
            lambda seed, epoch, count, size=size: _windowed(seed, epoch, count, size)
            if count > size else streaming.epoch_order(seed, epoch, count),
        )
        for size in (128, 1000, 4096, 10_000, 2**15)
    ),
    *(
        _order(f"a buffer of {size}", "STR-02", _buffered(size), "tf.data's shuffle(buffer_size)")
        for size in (128, 1000, 10_000)
    ),
    *(_order(f"shards of {size}", "STR-02", _shards(size)) for size in (128, 1000)),
    _order("places of 15 bits", "STR-02", _whole_numbers(np.int16)),
    _order("places of 16 bits", "STR-02", _whole_numbers(np.uint16)),
    _order("a tail that all epochs have in common", "STR-02", _same_tail),
    Mutant("a step of eight bits that is resumed", "STR-01", {"resumed_batches": _step_of_a_byte}),
    _recorded("the best of the last five", _kept(5), modeled_on="max_to_keep=5"),
    _recorded("the last of equal losses is the best", _last_of_ties),
    _recorded("a loss of 0 at least", _positive),
    *narrow((
        ("a metric over more than a hundred examples", "STR-08", "batched_mean",
         lambda v, b: len(v) > 100, off),
        ("a metric in more than sixteen batches", "STR-08", "batched_mean",
         lambda v, b: len(v) > 40 * b, off),
    )),
    *(
        _augmented(
            f"augmentation by the example modulo {size}",
            lambda s, e, i, batch, size=size: _coin(s, e, i % size),
        )
        for size in (64, 256)
    ),
)  # fmt: skip


def _diagnosing(change):
    def diagnose_chain(*arguments):
        found = diagnosis.diagnose_chain(*arguments)
        return {**found, **change(found, *arguments)}

    return {"diagnose_chain": diagnose_chain}


def _sized(name, factor):
    """A size whose mean is over another number of entries."""
    return _diagnosing(lambda found, x, *_: {name: found[name] * np.sqrt(factor(x))})


def _off_at(limit):
    """Off where φ′ is at most so much, for sigmoids."""

    def change(found, x, weights, biases, activation, g, stop, scanned):
        run = diagnosis.run_chain(x, weights, biases, activation, g, stop)
        most = limit(run.slopes) if activation == "sigmoid" else 0
        return {"off": np.array([np.all(s <= most, axis=0).mean() for s in run.slopes[:-1]])}

    return change


def _off_below(found, x, weights, biases, activation, g, stop, scanned):
    """Only units that are off from below."""
    run = diagnosis.run_chain(x, weights, biases, activation, g, stop)
    top = -3.65 if activation == "sigmoid" else 0
    return {"off": np.array([np.all(z <= top, axis=0).mean() for z in run.responses[:-1]])}


DIAGNOSIS = (
    Mutant("an input over 512 entries", "DIA-01", _sized("input_rms", lambda x: x.size / 512)),
    Mutant("a response over 32 units", "DIA-01", _sized("response_rms", lambda x: x.shape[1] / 32)),
    Mutant("a gradient over 512 entries", "DIA-02", _sized("gradient_rms", lambda x: x.size / 512)),
    Mutant("a gradient over 16 examples", "DIA-02", _sized("gradient_rms", lambda x: len(x) / 16)),
    Mutant("a response over 16 examples at most", "DIA-01", _sized(
        "response_rms", lambda x: len(x) / min(len(x), 16))),
    Mutant("sizes of the seventh layer on", "DIA-01", _diagnosing(
        lambda found, *_: {"response_rms": np.append(found["response_rms"][:6],
                                                     1.02 * found["response_rms"][6:])})),
    Mutant("gradients of the seventh layer on", "DIA-02", _diagnosing(
        lambda found, *_: {"gradient_rms": np.append(found["gradient_rms"][:6],
                                                     1.02 * found["gradient_rms"][6:])})),
    Mutant("sigmoids that are off where φ′ = 0", "DIA-06", _diagnosing(_off_at(lambda s: 0.0))),
    Mutant("sigmoids that are off where φ′ ≤ 1/10", "DIA-06", _diagnosing(_off_at(lambda s: 0.1))),
    Mutant("sigmoids off where φ′ ≤ max/5", "DIA-06", _diagnosing(_off_at(lambda s: 0.05))),
    Mutant("sigmoids that are off where φ′ ≤ max/11", "DIA-06", _diagnosing(
        _off_at(lambda s: 0.25 / 11))),
    Mutant("sigmoids that are off below alone", "DIA-06", _diagnosing(_off_below)),
)  # fmt: skip


def _way(name, way, change):
    """A way to run an operation that differs from it."""

    def ways(which, *arguments):
        answers = right.ways_of(right.OPERATIONS)(which, *arguments)
        return {**answers, way: change(*arguments)} if which == name else answers

    return {"ways": ways}


def _traced(name):
    """An operation that is compiled for each call."""
    return {"traces": lambda which, calls: len(calls) if which == name else 1}


CONTRACTS = (
    Mutant("a mapped layer norm without bias", "XCT-01", _way(
        "layer_norm", "mapped", lambda x, s, b, e: norms.layer_norm(x, s, 0 * b, e))),
    Mutant("a compiled layer norm without scale", "XCT-01", _way(
        "layer_norm", "compiled", lambda x, s, b, e: norms.layer_norm(x, 1 + 0 * s, b, e))),
    Mutant("a mapped RMS norm without scale", "XCT-01", _way(
        "rms_norm", "mapped", lambda x, s, e: norms.rms_norm(x, 1 + 0 * s, e))),
    Mutant("mapped dropout that keeps one half", "XCT-01", _way(
        "dropout", "mapped", lambda k, x, p: right.dropout(k, x, 0.5))),
    Mutant("compiled weights of the first seed", "XCT-01", _way(
        "he_normal", "compiled", lambda k, shape: right.he_normal(0, shape))),
    Mutant("mapped weight norm without lengths", "XCT-01", _way(
        "weight_norm", "mapped", lambda v, g: norms.weight_norm(v, 1 + 0 * g))),
    Mutant("compiled batch norm by a decay of one half", "XCT-01", _way(
        "batch_norm", "compiled",
        lambda x, m, v, s, b, d, e: right.OPERATIONS["batch_norm"](x, m, v, s, b, 0.5, e))),
    *(
        Mutant(f"{what} that is compiled at every call", "XCT-03", _traced(name))
        for name, what in (
            ("layer_norm", "layer norm"), ("max_norm", "max-norm"), ("batch_norm", "batch norm"),
        )
    ),
    Mutant("an infinite keep probability", "XCT-04", {
        "refusal": lambda name, value: (name, "") if value == math.inf
        else chains.refusal(name, value)}),
)  # fmt: skip

MUTANTS = (*CLIPPING, *STOPPING, *STREAMING, *DIAGNOSIS, *CONTRACTS)
