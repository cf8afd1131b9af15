"""The targets of the frameworks: nothing that is not declared, and every declaration shown."""

import importlib
from collections import Counter

import jax
import numpy as np
import pytest

from hondo_spec import BUILT_IN, UNEXPECTED, check_target, find_target
from hondo_spec.areas import BY_ID
from hondo_spec.bounds import gamma
from hondo_spec.names import AREAS

pytestmark = pytest.mark.filterwarnings("ignore")

OPTIONAL = ("equinox", "haiku", "keras", "torch")
# Each with how many properties it must pass at least, so that operations do not vanish unseen.
PASSES = {
    "reference": 113,
    "hondo.linen": 45,
    "hondo.nnx": 45,
    "flax.linen": 45,
    "flax.nnx": 50,
    "optax": 12,
    "equinox": 35,
    "haiku": 40,
    "keras": 75,
    "torch": 60,
}


@pytest.fixture(autouse=True)
def _ordinary_promotion():
    """Other people's code promotes and broadcasts as JAX does by default."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def target_of(name):
    if name in OPTIONAL:
        pytest.importorskip(BUILT_IN[name])
    return find_target(name)


@pytest.mark.parametrize("area", AREAS)
def test_hondo_has_and_satisfies_everything(area):
    records = check_target("hondo", areas=[area])
    others = {record.id: record for record in records if record.status != "PASS"}
    assert set(others) <= {"INI-08"}, others


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "hondo"])
def test_nothing_undeclared(name):
    # Our own in full; the others' too, by `python -m hondo_spec matrix`.
    profile = "spec-ci" if name.startswith("hondo") else "dev"
    records = check_target(target_of(name), profile=profile)
    unexpected = [record for record in records if record.status in UNEXPECTED]
    assert not unexpected, "\n".join(f"{r.id} {r.status} {r.message}" for r in unexpected)
    counts = Counter(record.status for record in records)
    assert counts["PASS"] + counts["UNPOWERED"] >= PASSES[name], counts


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_known_is_explained_and_shown(name):
    for id, known in target_of(name).known.items():
        assert known.reason, id
        assert known.inputs or BY_ID[id].kind == "S", id
        assert not known.inputs or set(known.inputs) == set(BY_ID[id].draws), id


@pytest.mark.parametrize("name", ["flax.linen", "flax.nnx"])
def test_the_option_avoids_what_it_is_said_to(name):
    option = "use_fast_variance=False"
    ids = [id for id, known in find_target(name).known.items() if known.avoid == option]
    stable = importlib.import_module(BUILT_IN[name]).STABLE
    assert {
        r.id: r.status for r in check_target(stable, areas=ids, profile="dev")
    } == dict.fromkeys(ids, "PASS")


@pytest.mark.parametrize("name", ["reference", "hondo", "torch"])
def test_statistics_of_images_are_those_of_their_pixels(name) -> None:
    operations = target_of(name).operations
    x, g = np.random.default_rng(0).normal(size=(2, 6, 4, 5, 3)).astype(np.float32)
    rows, one = x.reshape(-1, 3), np.ones(3, np.float32)
    # Sums of 120 products of numbers below 4, in two orders.
    bound = 2 * 16 * gamma(120)
    for operation in {"population_stats", "merge_moments"} & set(operations):
        got, want = (operations[operation](parts) for parts in ([x[:2], x[2:]], [rows]))
        np.testing.assert_allclose(got, want, rtol=0, atol=bound)
    gradient = operations["batch_norm_gradient"]
    got = np.asarray(gradient(x, one, 0 * one, 1e-3, g)).reshape(-1, 3)
    want = gradient(rows, one, 0 * one, 1e-3, g.reshape(-1, 3))
    np.testing.assert_allclose(got, want, rtol=0, atol=bound)


def test_noise_of_the_reference_differs_between_leaves() -> None:
    noise = find_target("reference").operations["parameter_noise"]
    w = np.zeros((4, 4), np.float32)
    got = noise(0, {"a/kernel": w, "b/kernel": w}, 1.0)
    assert not np.any(got["a/kernel"] == got["b/kernel"])
