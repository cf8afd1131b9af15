"""The generic laws, for every case of every public function."""

import importlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import Case, assert_close, example

import hondo

pytestmark = pytest.mark.compile_quickly

MODULES = [
    importlib.import_module(path.stem)
    for path in sorted(pathlib.Path(__file__).parent.glob("cases_*.py"))
]
CASES = [case for module in MODULES for case in module.CASES]
EXEMPT = {name: why for module in MODULES for name, why in module.EXEMPT.items()}

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
KEY = jax.random.key(17)


def test_every_public_name_has_a_case_or_a_reason() -> None:
    assert {case.name for case in CASES} | set(EXEMPT) == set(hondo.__all__)


def test_no_exemption_is_also_a_case() -> None:
    assert not {case.name for case in CASES} & set(EXEMPT)


@pytest.mark.slow
def test_every_public_name_has_bits_to_compare() -> None:
    importlib.import_module("hash_bits").assert_complete()


@pytest.mark.slow
@pytest.mark.rounding
@every
@pytest.mark.spec("XCT-01")
def test_jit_equals_eager(case: Case) -> None:
    x = example(case)
    assert_close(jax.jit(case.run)(KEY, x), jax.tree.map(jnp.asarray, case.run(KEY, x)), case.ulps)


@pytest.mark.slow
@pytest.mark.rounding
@every
@pytest.mark.spec("XCT-01")
def test_vmap_equals_loop(case: Case) -> None:
    keys = jax.random.split(KEY, 3)
    xs = jnp.stack([example(case, seed=seed) for seed in range(3)])
    loop = [jax.jit(case.run)(key, x) for key, x in zip(keys, xs, strict=True)]
    want = jax.tree.map(lambda *leaves: jnp.stack(leaves), *loop)
    assert_close(jax.jit(jax.vmap(case.run))(keys, xs), want, case.ulps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype", [jnp.float32, jnp.bfloat16, jnp.float16], ids=lambda d: d.__name__
)
@pytest.mark.parametrize("case", [c for c in CASES if c.keeps], ids=lambda case: case.id)
@pytest.mark.spec("XCT-02")
def test_dtype_and_shape_are_kept(case: Case, dtype) -> None:
    x = example(case, dtype)
    got = jax.eval_shape(case.run, KEY, x)
    assert (got.shape, got.dtype) == (x.shape, x.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if c.differentiable], ids=lambda case: case.id)
def test_gradient_is_finite(case: Case) -> None:
    def total(x):
        floats = [
            leaf
            for leaf in jax.tree.leaves(case.run(KEY, x))
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
        return sum(leaf.astype(jnp.float32).sum() for leaf in floats)

    gradient = jax.jit(jax.grad(total))
    for x in (example(case), jnp.zeros(case.shape), jnp.ones(case.shape)):
        assert bool(jnp.isfinite(gradient(x)).all())


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if c.random], ids=lambda case: case.id)
def test_a_key_decides(case: Case) -> None:
    run, x = jax.jit(case.run), example(case)
    assert_close(run(KEY, x), run(KEY, x), 0)
    others = [run(jax.random.key(seed), x) for seed in range(8)]
    assert len({b"".join(np.asarray(v).tobytes() for v in jax.tree.leaves(o)) for o in others}) > 1
