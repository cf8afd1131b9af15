"""Names for what has no type of its own: a pytree is whatever its caller makes it."""

from collections.abc import Callable
from typing import Any, TypeAlias

from jaxtyping import Array, Float, PRNGKeyArray

# A dtype of NumPy, or one of JAX's own, as that of keys.
DType: TypeAlias = Any
# Any pytree, one of its leaves, and its structure (`jax.tree.structure`).
Tree: TypeAlias = Any
Leaf: TypeAlias = Any
TreeDef: TypeAlias = Any
# What gradients reach; a gradient and an update have the same structure.
Params: TypeAlias = Any
Updates: TypeAlias = Any
# What optax keeps from step to step, of one transformation.
OptimizerState: TypeAlias = Any
# Whatever else a model carries from step to step: running statistics, a key, or ().
ModelState: TypeAlias = Any
# Arrays with a common leading axis of examples, some of these examples, and a single one.
Data: TypeAlias = Any
Batch: TypeAlias = Any
Example: TypeAlias = Any
# What a model takes, what it gives, and what it should have given.
Inputs: TypeAlias = Any
Outputs: TypeAlias = Any
Targets: TypeAlias = Any
# A linen module, an nnx module, or a function that makes one.
Module: TypeAlias = Any

# Parameters and whatever else → a scalar, or a pair with it first.
Loss: TypeAlias = Callable[..., Any]
# What a loss reports beside its value, one array for each name.
Info: TypeAlias = dict[str, Any]
# One scalar for each name.
Metrics: TypeAlias = dict[str, Float[Array, ""]]
# A key, an example and a partner drawn at random → the example as it is trained on.
Augment: TypeAlias = Callable[[PRNGKeyArray, Example, Example], Example]
# Hyperparameters of a sweep: arrays with a common leading axis of members, or one member's values.
Hyperparameters: TypeAlias = Any
# One of `jax.devices()`.
Device: TypeAlias = Any
