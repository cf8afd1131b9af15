"""The diagnosis of a problem: one pass of its loss and gradient, with taps."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from hondo._bind import Bound, bind
from hondo._numerics.checks import check_key, check_range, check_type, error
from hondo._numerics.sharding import vary_with
from hondo._types import Batch, Leaf, ModelState, Params
from hondo.diagnosis.draft import Plan
from hondo.diagnosis.flow import Flow
from hondo.diagnosis.instrument import Measured, evaluate, probes
from hondo.diagnosis.jaxprs import flatten
from hondo.diagnosis.plan import make_plan
from hondo.diagnosis.report import Diagnosis
from hondo.diagnosis.rows import between_layers, collect, describe, row_leaves
from hondo.diagnosis.updates import update_sizes
from hondo.diagnosis.verdicts import Tolerance
from hondo.training.problem import Problem


def diagnose(
    problem: Problem,
    params: Params = None,
    model_state: ModelState = None,
    batch: Batch = None,
    *,
    key: PRNGKeyArray,
    tolerated: float = 100.0,
    local: float = 10.0,
    optimizer: optax.GradientTransformation | None = None,
) -> Diagnosis:
    r"""Measures every layer forwards and backwards, and names the sick one and its remedy.

    The loss is traced as it is, in whatever framework it is written; a layer is a product of data
    by parameters, and has their path for a name. Each is measured where it stands,

    $$ \ln\mathrm{RMS}(h_l),\quad \ln\mathrm{RMS}(z_l),\quad
       \ln\mathrm{RMS}\Big(\frac{\partial J}{\partial z_l}\Big), $$

    beside what the theory of wide random networks predicts from its weights. Verdicts rest on
    ratios within the network and on shares of its units, never on an absolute size, so they hold
    for every scale of data and loss. It works under `jax.jit` (the arrays inside, the names
    static) and `jax.vmap` (an ensemble's), and changes nothing: neither parameters nor state.

    Args:
        problem: what is trained, as `fit` takes it.
        params: the parameters; by default those of `problem.init`, with the model state.
        model_state: the model's state that belongs to them.
        batch: a batch of training examples, as the problem's loss takes it.
        key: the typed PRNG key of the loss, and of the initialization where there is one.
        tolerated: the factor, above 1, by which responses or gradients may spread over the depth.
        local: the factor, above 1, by which one layer may differ from the others.
        optimizer: with one, its first update of the parameters is measured beside the weights.

    Returns:
        The report; `print` it, or read its `verdicts`.

    Raises:
        ValueError: no batch; a model state without its params; a factor not above 1.
        TypeError: a key that is not a typed PRNG key.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> from flax import linen
        >>> init = hondo.gaussian(1.0)
        >>> net = linen.Sequential([linen.Dense(256, kernel_init=init), jnp.tanh, linen.Dense(3)])
        >>> problem = hondo.supervised(net, loss="cross_entropy")
        >>> key = jax.random.key(0)
        >>> batch = jax.random.normal(key, (32, 64)), jnp.zeros(32, int)
        >>> report = hondo.diagnose(problem, batch=batch, key=key)
        >>> [(verdict.kind, verdict.layer) for verdict in report.verdicts]
        [('saturated', 'layers_0')]

    References:
        Slides 9 to 15; Glorot and Bengio 2010; He et al. 2015; Schoenholz et al. 2017.
    """
    check_type("problem", problem, Problem, "hondo.supervised makes one.")
    check_key(key)
    check_range("tolerated", tolerated, 1.0, open_low=True)
    check_range("local", local, 1.0, open_low=True)
    if batch is None:
        raise error("batch", None, "given", "The loss needs examples: batch=(inputs, targets).")
    if params is None and model_state is not None:
        raise error("params", None, "given with a model state", "Give both, or neither.")
    if params is None:
        params, model_state = problem.init(key, batch)
    if model_state is None:
        model_state = ()
    static = problem, optimizer, Tolerance(float(tolerated), float(local))
    return _compiled(*static)(params, model_state, batch, key)


def _compiled(
    problem: Problem, optimizer: optax.GradientTransformation | None, tolerance: Tolerance
) -> Callable[[Params, ModelState, Batch, PRNGKeyArray], Diagnosis]:
    """The diagnosis as one program, kept where the problem can be compared."""
    run = bind(_diagnose, problem, optimizer, tolerance)
    return bind(_kept, run) if isinstance(run, Bound) else jax.jit(run)


@partial(jax.jit, static_argnums=0)
def _kept(run: Callable[..., Diagnosis], *arguments: Leaf) -> Diagnosis:
    return run(*arguments)


def _diagnose(
    problem: Problem,
    optimizer: optax.GradientTransformation | None,
    tolerance: Tolerance,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    key: PRNGKeyArray,
) -> Diagnosis:
    plan = _plan(problem, params, model_state, batch, key)
    rows, leaves = describe(plan, params), jax.tree.leaves((params, model_state, batch, key))
    count = len(jax.tree.leaves(params))

    def loss(own: Sequence[Leaf], given: Measured) -> tuple[Array, Measured]:
        results, measured = evaluate(plan, [*own, *leaves[count:]], given)
        return results[0], measured

    which = 1 if optimizer is None else (0, 1)
    differentiate = jax.value_and_grad(loss, argnums=which, has_aux=True)
    given = vary_with(probes(plan), leaves)
    (value, measured), gradient = differentiate(leaves[:count], given)
    cotangents = gradient if optimizer is None else gradient[1]
    kept = np.array(between_layers(rows), int)
    rows = tuple(rows[place] for place in kept)
    values = jax.tree.map(lambda leaf: leaf[kept], collect(plan, measured, cotangents))
    updates = jnp.full((len(rows),), jnp.nan, jnp.float32)
    if optimizer is not None:
        owned = row_leaves(plan)
        sizes = [owned[place] for place in kept]
        updates = update_sizes(rows, sizes, params, gradient[0], optimizer)
    return Diagnosis(rows, tolerance, value, values, updates)


def _plan(
    problem: Problem, params: Params, model_state: ModelState, batch: Batch, key: PRNGKeyArray
) -> Plan:
    """Where the loss is tapped, as a program of flattened arguments."""
    closed = flatten(jax.make_jaxpr(problem.loss)(params, model_state, batch, key))
    parameters, states, examples = map(jax.tree.leaves, (params, model_state, batch))
    flows = [Flow(leaves=frozenset({place})) for place in range(len(parameters))]
    flows += [Flow()] * len(states) + [Flow(data=True)] * len(examples) + [Flow()]
    return make_plan(closed, flows, {})
