"""Operations of libraries whose tensors are their own and differentiate what was called."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from hondo_spec.adapter import Operation
from hondo_spec.operations.shapes import Shape

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
        seed: what sets its one generator of random numbers.
    """

    tensor: Callable[[Any], Any]
    numpy: Callable[[Any], np.ndarray]
    pull: Callable[[Operation, list[Any], Any], Any]
    seed: Callable[[int], Any]

    def mapped(self, function: Operation, count: int = 1) -> Operation:
        """The operation of a function whose first arguments, so many of them, are tensors."""
        return lambda *given: self.numpy(function(*map(self.tensor, given[:count]), *given[count:]))

    def pulled_back(self, function: Operation, tensors: int = 1) -> Operation:
        """(…, g) → the gradients of Σ g · function(…) in these tensors."""

        def gradients(*given: Any) -> Any:
            arrays, rest = [*given[:tensors]], given[tensors:-1]
            found = self.pull(lambda *first: function(*first, *rest), arrays, given[-1])
            return [*map(self.numpy, found)] if tensors > 1 else self.numpy(found[0])

        return gradients

    def initializer(self, make: Callable[[Shape], Any]) -> Operation:
        """Of what makes weights of a shape, which is (outputs, inputs, …) there."""

        def init(seed: int, shape: Shape) -> np.ndarray:
            self.seed(int(seed))
            weight = make((shape[-1], shape[-2], *shape[:-2]))
            return np.moveaxis(self.numpy(weight), (0, 1), (-1, -2))

        return init

    def dropout(self, function: Operation) -> dict[str, Operation]:
        """Of what takes (tensor, 1 − P, whether it is training)."""

        def dropped(x: Any, seed: int, keep_prob: float) -> Any:
            self.seed(int(seed))
            return function(x, 1 - keep_prob, True)

        def y(seed: int, x: Any, keep_prob: float) -> np.ndarray:
            return self.numpy(dropped(self.tensor(x), seed, keep_prob))

        def gradient(seed: int, x: Any, keep_prob: float, g: Any) -> tuple[Any, Any]:
            """Called once for y and once for the gradient, by the same seed."""
            return y(seed, x, keep_prob), self.pulled_back(dropped)(x, seed, keep_prob, g)

        inference = self.mapped(lambda x, keep_prob: function(x, 1 - keep_prob, False))
        return {"dropout": y, "dropout_gradient": gradient, "dropout_inference": inference}

    def loss(self, function: Operation) -> dict[str, Operation]:
        """Of the mean cross-entropy of the tensors of logits and classes."""
        back = self.pulled_back(lambda z, classes: function(z, self.tensor(classes)))
        return {
            "cross_entropy": self.mapped(function, 2),
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

    def with_gradients(self, **functions: Operation) -> dict[str, Operation]:
        """Of functions that take what the operations of these names do, but in tensors."""
        made = (("", self.mapped), ("_gradient", self.pulled_back))
        return {
            f"{name}{end}": make(function, _TENSORS.get(name, 1))
            for name, function in functions.items()
            for end, make in made
        }

    def activations(self, module: Any) -> dict[str, Operation]:
        """Those of one argument that have a gradient."""
        names = ("sigmoid", "tanh", "relu")
        made = self.with_gradients(**{name: getattr(module, name) for name in names})
        for gradient in map("{}_gradient".format, names):
            made[gradient] = lambda x, back=made[gradient]: back(x, np.ones_like(x))
        return made
