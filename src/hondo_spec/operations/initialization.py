"""Initialization: a seed and a shape `(*window, inputs, outputs)` give float32 weights."""

from hondo_spec.operations.shapes import Array, Row, Shape


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out): inputs and outputs, each times the product of the window."""
    ...


def glorot_uniform(seed: int, shape: Shape) -> Array:
    """U(−a, a) with a = √(6 / (fan_in + fan_out))."""
    ...


def glorot_normal(seed: int, shape: Shape) -> Array:
    """N(0, 2 / (fan_in + fan_out)), by the convention 'normal'."""
    ...


def he_uniform(seed: int, shape: Shape) -> Array:
    """U(−a, a) with a = √(6 / fan_in)."""
    ...


def he_normal(seed: int, shape: Shape) -> Array:
    """N(0, 2 / fan_in), by the convention 'normal'."""
    ...


def lecun_normal(seed: int, shape: Shape) -> Array:
    """N(0, 1 / fan_in), by the convention 'normal'."""
    ...


def truncated_normal(seed: int, shape: Shape) -> Array:
    """A normal distribution that is cut at two deviations, then rescaled to variance 1 / fan_in."""
    ...


def initial_parameters(seed: int) -> dict[str, Row]:
    """What a network starts with beside its kernels, by name.

    Returns:
        '…/bias'; '…/scale', of a norm; and '…/last_scale', of a norm that ends a residual branch
        and is claimed to start at 0.
    """
    ...
