"""STR-04, 05, 06 and 09: training on devices that share each batch is training on one."""

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.batch_norm import claimed
from hondo_spec.areas.clipping import norm
from hondo_spec.areas.dropout import factor_of
from hondo_spec.areas.early_stopping import automaton
from hondo_spec.areas.streaming import prop
from hondo_spec.bounds import gamma, moment_slack, ulps
from hondo_spec.property import given
from hondo_spec.results import Check, Exact, Holds

SYNCHRONOUS = "slide 4; Goyal et al. 2017, section 2.3"
DEVICES = (2, 8)


@prop(4, "must", "exact", source="slide 7; Srivastava et al. 2014", symbols="stream dropout")
@given(seed=draws.seeds, devices=DEVICES)
def _masks_are_those_of_one_device(dropout_on_devices, device_count, conventions, *, seed, devices):
    r"""dropout drops the same units however many devices share the batch, and each share has a mask
    of its own
    $m = m(k),\quad m_{B_i} \ne m_{B_j}$
    """
    if devices > device_count():
        return
    # Of examples that are all alike.
    x = np.tile(draws.normal(seed, (16,)), (64, 1))
    one = np.asarray(dropout_on_devices(seed, x, 0.8, 1))
    yield Exact("y", dropout_on_devices(seed, x, 0.8, devices), one)
    # Two masks of 128 units are alike once in 10^21.
    kept = one != 0
    masks = {share.tobytes() for share in np.split(kept, devices)}
    yield Holds("shares of their own masks", len(masks) == devices, len(masks))
    want = factor_of(conventions, 0.8) * draws.double(x) * kept
    yield Check("kept units", one, want, ulps(4) * np.abs(want))
    # By Hoeffding's bound so far off once in 10^35.
    yield Holds("four fifths of 1024", abs(np.mean(kept) - 0.8) < 0.2, kept)
    other = np.asarray(dropout_on_devices(seed + 1, x, 0.8, 1)) != 0
    yield Holds("other masks by another seed", np.any(other != kept), kept)


@prop(5, "must", "bound", source=SYNCHRONOUS, symbols="stream batch_norm")
@given(seed=draws.seeds, devices=DEVICES)
def _statistics_are_those_of_the_batch(
    statistics_on_devices, device_count, conventions, *, seed, devices
):
    r"""the statistics of a batch that devices share are those of all that is present in it, however
    unevenly that lies on them
    $\mu = \tfrac1{|V|}\sum_{i \in V} x_i,\quad V = \bigcup_d V_d$
    """
    if devices > device_count():
        return
    x = draws.normal(seed, ((32, 2, 5), (64, 5))[seed % 2])
    # One device has all of its share, one nothing.
    size = 64 // devices
    counts = np.random.default_rng(seed).permutation([0, *range(1, devices - 1), size])
    present = (np.arange(size) * 5 % size < counts[:, None]).reshape(x.shape[:-1])
    filled = np.where(present[..., None], x, np.float32(100))
    mean, var = statistics_on_devices(filled, present, devices)
    count, kept = int(np.sum(present)), draws.double(x[present])
    shift, spread = moment_slack(kept, count)
    yield Check("mean", mean, np.mean(kept, axis=0), shift, 1.0)
    want, bound = (claimed(conventions, v, count) for v in (np.var(kept, axis=0), spread))
    yield Check("variance", var, want, bound + gamma(4) * want, 1.0)


@prop(6, "must", "bound", source="slide 11; Pascanu, Mikolov and Bengio 2013, algorithm 1",
      symbols="stream clip_by_global_norm")  # fmt: skip
@given(seed=draws.seeds, factor=(2.0**-10, 0.25, 0.9, 2.0), devices=DEVICES)
def _clipped_norm_is_that_of_all_shares(clip_on_devices, device_count, *, seed, factor, devices):
    r"""the norm by which a gradient is clipped is that of all its shares, and counts once what is
    whole on each device
    $\lVert g \rVert^2 = \sum_d \lVert g_d \rVert^2$
    """
    if devices > device_count():
        return
    shapes = {"deep/kernel": (16, 2, 3), "bias": (8,), "scale": (3,)}
    tree = draws.as_tree(draws.normal(seed, (107,)), shapes)
    limit = factor * norm(tree)
    got = clip_on_devices(tree, limit, devices)
    for name, leaf in tree.items():
        want = min(factor, 1.0) * draws.double(leaf)
        bound = gamma(120) * np.abs(want) * (factor < 1)
        yield Check(name, got[name], want, bound, 1.0)


@prop(9, "must", "exact", source="slide 4; Goodfellow et al. 2016, algorithm 7.1")
@given(seed=tuple(range(10)), patience=(3, 1), devices=DEVICES)
def _devices_stop_at_the_same_epoch(stopped_on_devices, device_count, *, seed, patience, devices):
    r"""all devices that share the validation stop after the same epoch, the one of its mean
    $\tau_d = \tau\big(\tfrac1n \sum_i l_{e,i}\big)$
    """
    if devices > device_count():
        return
    losses = draws.lattice_of(seed, (12, 16), -8, 8) - draws.single(np.arange(12))[:, None] / 4
    stop, _ = automaton(np.mean(losses, axis=1).tolist(), patience)
    want = len(losses) if stop is None else stop + 1
    yield Exact("epochs", stopped_on_devices(losses, patience, devices), [want] * devices)
