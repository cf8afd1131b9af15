"""STR: training on what does not fit into memory, or not into one run."""

import itertools
import math

import numpy as np

from hondo_spec import draws
from hondo_spec.bounds import gamma
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds, Stat

prop = Area("STR", source="slide 4; Goodfellow et al. 2016, algorithm 8.1", symbols="stream")
BOTTOU = "Bottou 2012, section 4.1"
# Examples, how many make a batch, and epochs; some do not fill one, and all may fit into one.
RUNS = ((12, 4, 3), (7, 2, 3), (5, 5, 2), (1, 1, 4), (33, 8, 2), (131, 1, 3))
SEEDS = (0, 1, 2**31 - 9)
# So many examples that a quarter of them in the same places is no chance.
MANY = 128
# Two numbers and what is none, in all orders; and where no number comes.
LOSSES = (*itertools.permutations((1.0, 2.0, math.nan)), (math.nan, math.inf))
# Equal ones, below 0 too, and many of which an early one is the best.
LOSSES += ((3.0, 1.0, 1.0), (0.0, -2.0, -1.0, -2.0), (5.0, 1.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0))


@prop(1, "must", "exhaustive")
@given(run=RUNS, seed=SEEDS[:2])
def _a_run_that_is_cut_goes_on_where_it_was(resumed_batches, *, run, seed):
    r"""a run that ends after any of its steps, or after several, and goes on by what was saved
    takes the batches of the run that does not end
    $B_t \mid \text{cut at } c = B_t$
    """
    steps = run[0] // run[1] * run[2]
    whole = np.asarray(resumed_batches(seed, *run, []))
    for cuts in (*([cut] for cut in range(0, steps + 1, 1 + steps // 20)), [1, 1], [*range(steps)]):
        yield Exact(f"batches, cut after {cuts}", resumed_batches(seed, *run, cuts), whole)
    # Two orders of 32 examples are the same once in 10^35.
    if run[0] > 32:
        other = np.asarray(resumed_batches(seed + 1, *run, []))
        yield Holds("others by another seed", np.any(other != whole), whole)


@prop(2, "must", "exhaustive", source=BOTTOU)
@given(count=(1, 2, 3, 7, 16, 100, 1009, 70_003), seed=SEEDS)
def _an_epoch_takes_each_example_once(epoch_order, *, count, seed):
    r"""the order of an epoch takes each example once, and is a function of seed and epoch, another
    one in another epoch
    $\pi_{k,e} \in S_n,\quad \pi = \pi(k, e)$
    """
    orders = [np.asarray(epoch_order(seed, epoch, count)) for epoch in (0, 1, 5, 0)]
    for order in orders:
        yield Exact("each once", np.sort(order), np.arange(count))
    yield Exact("again", orders[3], orders[0])
    if count == 3:
        every = {tuple(epoch_order(seed, epoch, count)) for epoch in range(150)}
        # One of the six stays away once in 10^11.
        yield Holds("every order comes", len(every) == 6, every)
    if count == 7:
        places = [np.asarray(epoch_order(seed, epoch, 7)) == np.arange(7) for epoch in range(80)]
        # No example stays in its place in a third of all orders: in 80 of them once in 10^34.
        yield Holds("some stay in their places", np.any(places), places)
    if count > 50:
        same = [_alike(*p) for p in itertools.combinations((*orders[:3], np.arange(count)), 2)]
        # So many once in 10^13, also of all 70,003.
        yield Holds("another order in another epoch", max(same) < 20, same)
        beside = [int(np.sum(np.abs(np.diff(order)) == 1)) for order in orders[:3]]
        # Neighbors stay so twice in the mean, and 25 times once in 10^18.
        yield Holds("neighbors part", max(beside) < 25, beside)
        half = count // 2
        off = [abs(np.mean(order[:half] < half) - half / count) for order in orders[:3]]
        # By Hoeffding's bound so far off once in 10^11.
        yield Holds("both halves hold as many of a half", max(off) < math.sqrt(26 / count), off)


@prop(3, "must", "exact", source="slide 2; Goodfellow et al. 2016, section 7.4")
@given(seed=SEEDS[:2], epoch=(1, 101))
def _augmentation_goes_by_the_example(augmented_epoch, *, seed, epoch):
    r"""what augmentation makes of an example is a function of seed, epoch and example, whatever the
    batches are; another example, epoch or seed draws anew
    $\tilde x_i = T(x_i;\, k, e, i)$
    """
    images = np.arange(64 * 12, dtype=np.float32).reshape(64, 3, 4, 1)
    answers = {"the data": images, "this one": augmented_epoch(seed, epoch, images, 64)}
    yield Exact("batches of 4", augmented_epoch(seed, epoch, images, 4), answers["this one"])
    for k, e in ((0, 1), (1, 0), (1, -1), (1, -100))[: 3 + epoch // 100]:
        other = augmented_epoch(seed + k, epoch + e, images, 64)
        answers[f"that of {k} seeds and {e} epochs on"] = other
    # 64 coins fall alike but once in 10^19.
    for one, other in itertools.combinations(answers, 2):
        same = np.array_equal(answers[one], answers[other])
        yield Holds(f"{one} is not {other}", not same, answers[one])
    equal = images[:1].repeat(1100, axis=0)
    equal, before = (np.asarray(augmented_epoch(seed, epoch - k, equal, 220)) for k in (0, 1))
    lags = 1, 64, 100, 128, 256, 512, 1000, 1024
    again = [np.array_equal(one[lag:], equal[:-lag]) for one in (equal, before) for lag in lags]
    yield Holds("equal examples by draws of their own", not any(again), again)


@prop(7, "must", "bound", source="Goodfellow et al. 2016, section 8.1.3")
@given(x=draws.whole(((12, 3), (12, 1)), -4, 4), seed=draws.seeds, parts=(1, 2, 3, 12))
def _a_batch_in_parts_is_the_batch(microbatch_gradient, *, x, seed, parts):
    r"""the gradient of a batch in parts is that of the batch, however unevenly its examples weigh
    $\nabla\frac{\sum_e a_e l_e}{\sum_e a_e},\quad \{1, \dots, m\} = \bigcup_k B_k$
    """
    w, targets = (draws.lattice_of(seed, (n, 2), -4, 4) for n in reversed(x.shape))
    # The first of the parts may weigh nothing.
    uneven = [0, 0, 0, 0, 1, 0, 2, 3, 0, 4, 5, 0.5]
    almost, huge = [1 + k / 2**16 for k in range(12)], [2**40 * part for part in uneven]
    kinds = {"equal": [1] * 12, "uneven": uneven, "almost equal": almost, "huge": huge}
    for what, a in kinds.items():
        weights = draws.single(a)
        shares = weights[:, None] * (draws.double(x) @ w - targets) / sum(a)
        got = microbatch_gradient(w, x, targets, weights, parts)
        bound = gamma(64) * (np.abs(x).T @ np.abs(shares))
        yield Check(f"gradient, {what} weights", got, x.T @ shares, bound, 1.0)


@prop(8, "must", "bound", symbols="stream evaluate")
@given(count=(1, 7, 33, 301), batch_size=(1, 5, 16, 100), seed=SEEDS)
def _validation_counts_each_example_once(batched_mean, *, count, batch_size, seed):
    r"""a metric over all examples counts each of them once, one of NaN too, however many are
    evaluated at a time
    $M = \tfrac1n\sum_e m_e$
    """
    # Integers, whose sums are exact.
    values = draws.single(np.random.default_rng(seed).permutation(count) + 1) ** 2
    want = float(np.mean(np.float64(values)))
    yield Check("mean", batched_mean(values, batch_size), want, gamma(count + 4) * want)
    for bad in (math.nan, math.inf):
        values[seed % count] = bad
        got = batched_mean(values, batch_size)
        yield Holds(f"{bad} is no less counted", not np.isfinite(got), got)


@prop(10, "must", "exhaustive", symbols="stream save restore")
@given(losses=LOSSES)
def _newest_is_resumed_and_nan_is_never_best(best_and_newest, *, losses):
    r"""the best is the first of the smallest losses that are finite, none if none is; the newest
    state is resumed, whatever its loss is
    $b = \min\arg\min_{|l_e| < \infty} l_e$
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    want = losses.index(min(finite)) if finite else None, len(losses) - 1
    got = tuple(best_and_newest(list(losses)))
    return Holds(f"best and newest {want}", got == want, got)


def _alike(first: np.ndarray, second: np.ndarray) -> int:
    """In how many places two orders agree, wherever the second one begins."""
    return int(np.max(np.bincount((np.argsort(first) - np.argsort(second)) % len(first))))


@prop(11, "must", "statistical", source=BOTTOU)
@given(
    other=((0, 1), (1, 0), *((1, -k) for k in (1, 31, 100, 1000)), (2, -1), (0, 256), (255, 0),
           (256, -2)),
    seed=SEEDS[:2],
)  # fmt: skip
def _epochs_are_unrelated(epoch_order, *, other, seed):
    r"""no epoch takes the examples in the order of another one, of this seed or of another, nor
    turned, nor in part, nor in that of the data
    $(k, e) \ne (k', e') \Rightarrow \pi_{k,e} \perp \pi_{k',e'}$
    """
    epoch = 2 - min(other[1], 0)
    base = np.asarray(epoch_order(seed, epoch, MANY))
    order = np.asarray(epoch_order(seed + other[0], epoch + other[1], MANY))
    others = {"another": base, "another turned": base[::-1], "the data": np.arange(MANY)}
    for what, one in others.items():
        hits = _alike(order, one)
        # Of MANY rotations; k fixed points of a random permutation are at least as rare as 1/k!.
        p_value = min(1.0, MANY / math.factorial(hits))
        yield Stat(f"order of {what}", p_value, MANY, MANY, f"{hits} in the same places")


@prop(12, "must", "exhaustive", source=BOTTOU)
@given(run=RUNS, seed=SEEDS[:1])
def _each_epoch_is_whole_after_any_cut(resumed_batches, *, run, seed):
    r"""after any cut each epoch still has its number of steps, and no example twice
    $\bigcup_{t \in e} B_t = \{1, \dots, n\}$
    """
    steps, taken = run[0] // run[1] * run[2], run[0] // run[1] * run[1]
    for cut in range(1, steps, 1 + steps // 20):
        epochs = np.reshape(resumed_batches(seed, *run, [cut]), (run[2], -1))
        got = [len(set(epoch)) for epoch in epochs.tolist()]
        yield Exact(f"different examples of each epoch, cut after {cut}", got, [taken] * run[2])
        yield Holds("of the examples", (epochs >= 0) & (epochs < run[0]), epochs)
        orders = {*map(tuple, epochs.tolist()), tuple(range(taken))}
        yield Holds("another order in each", run[0] < 32 or len(orders) > run[2], epochs)


@prop(13, "must", "exact", source="slide 11; Micikevicius et al. 2018, section 3.2")
@given(
    seed=draws.seeds, bad=(math.nan, math.inf, -math.inf),
    holes=((0,), (1, 2, 5), tuple(range(6))), is_target=(False, True),
)  # fmt: skip
def _step_that_is_not_finite_changes_nothing(guarded_steps, *, seed, bad, holes, is_target):
    r"""a step on a batch with a row that is not finite changes no number that the run keeps, and is
    counted
    $x_t \notin \mathbb{R}^{m \times d} \Rightarrow s_{t+1} = s_t$
    """
    x, targets = draws.normal(seed, (6, 4, 3)), draws.normal(seed + 1, (6, 4))
    left = np.delete(np.arange(6), holes)
    want, none = guarded_steps(x[left], targets[left])
    yield Exact("skipped of none", none, 0)
    for hole in holes:
        (targets if is_target else x[..., seed % 3])[hole, seed % 4] = bad
    got, skipped = guarded_steps(x, targets)
    yield Exact("state", got, want)
    yield Exact("skipped", skipped, len(holes))
    if left.size:
        fewer, _ = guarded_steps(x[left[:-1]], targets[left[:-1]])
        yield Holds("a finite step changes it", np.any(got != fewer), got)
