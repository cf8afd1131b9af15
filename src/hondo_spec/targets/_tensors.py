"""Operations of libraries whose tensors are their own and differentiate what was called."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from hondo_spec.adapter import Operation

# Of PyTorch, which the others follow.
CONVENTIONS = {
    "dropout": "inverted", "decay": "new", "running_variance": "unbiased", "normal": "full",
    "batch_of_one": "refused",
}  # fmt: skip
# How many of the first arguments have a gradient, where not one.
_TENSORS = {"layer_norm": 3, "rms_norm": 2}


class Tensors(NamedTuple):
    """What tells such a library from the others.

    Attributes:
        tensor: its tensor of a NumPy array.
        numpy: the NumPy array of its tensor.
        pull: (function, arrays, g) → the tensors of the gradients of Σ g · function(…) in each.
    """

    tensor: Callable[[Any], Any]
    numpy: Callable[[Any], np.ndarray]
    pull: Callable[[Operation, list[Any], Any], Any]

    def mapped(self, function: Operation, tensors: int = 1) -> Operation:
        """The operation of a function whose first arguments are tensors."""
        return lambda *given: self.numpy(
            function(*map(self.tensor, given[:tensors]), *given[tensors:])
        )

    def pulled_back(self, function: Operation, tensors: int = 1) -> Operation:
        """(…, g) → the gradients of Σ g · function(…) in these tensors."""

        def gradients(*given: Any) -> Any:
            arrays, rest = [*given[:tensors]], given[tensors:-1]
            found = self.pull(lambda *first: function(*first, *rest), arrays, given[-1])
            return [*map(self.numpy, found)] if tensors > 1 else self.numpy(found[0])

        return gradients

    def dropout(self, dropped: Operation, inferred: Operation) -> dict[str, Operation]:
        """Of functions that take (seed, tensor, P) in training, and (tensor, P) afterwards."""

        def y(seed: int, x: Any, keep_prob: float) -> np.ndarray:
            return self.numpy(dropped(int(seed), self.tensor(x), keep_prob))

        def gradient(seed: int, x: Any, keep_prob: float, g: Any) -> tuple[Any, Any]:
            """Called once for y and once for the gradient, by the same seed."""
            back = self.pulled_back(lambda x: dropped(int(seed), x, keep_prob))
            return y(seed, x, keep_prob), back(x, g)

        inference = self.mapped(inferred)
        return {"dropout": y, "dropout_gradient": gradient, "dropout_inference": inference}

    def loss(self, function: Operation) -> dict[str, Operation]:
        """Of the mean cross-entropy of (tensor, classes)."""
        back = self.pulled_back(function)
        return {
            "cross_entropy": self.mapped(function),
            "cross_entropy_gradient": lambda z, classes: back(z, classes, np.float32(1)),
        }

    def batch_norm(self, call: Operation) -> dict[str, Operation]:
        """Of a function of five tensors, (x, mean, var, γ, β, decay, ε, train) → (y, mean, var)."""

        def made(*given: Any, train: bool) -> list[np.ndarray]:
            return [*map(self.numpy, call(*map(self.tensor, given[:5]), *given[5:], train))]

        def gradient(x: Any, scale: Any, bias: Any, epsilon: float, g: Any) -> np.ndarray:
            rest = [*map(self.tensor, (0 * bias, 0 * bias + 1, scale, bias)), 0.1, epsilon, True]
            return self.pulled_back(lambda x: call(x, *rest)[0])(x, g)

        return {
            "batch_norm": partial(made, train=True),
            "batch_norm_gradient": gradient,
            "batch_norm_inference": lambda *given: made(*given[:5], 0.1, given[5], train=False)[0],
        }

    def norms(self, **functions: Operation) -> dict[str, Operation]:
        """Of functions that take what the operations of these names do, but in tensors."""
        made = (("", self.mapped), ("_gradient", self.pulled_back))
        return {
            f"{name}{end}": make(function, _TENSORS.get(name, 1))
            for name, function in functions.items()
            for end, make in made
        }

    def activations(self, module: Any) -> dict[str, Operation]:
        """Those of one argument that have a gradient."""
        made = (("", self.mapped), ("_gradient", self._slope))
        return {
            f"{name}{end}": make(getattr(module, name))
            for name in ("sigmoid", "tanh", "relu")
            for end, make in made
        }

    def _slope(self, function: Operation) -> Operation:
        return lambda x: self.pulled_back(function)(x, np.ones_like(x))
