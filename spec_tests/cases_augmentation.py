"""The augmentations under the generic laws."""

from functools import partial

import jax
import jax.numpy as jnp
from laws import Case

import hondo

IMAGE = (6, 5, 2)


def _pair(x):
    targets = jax.nn.one_hot(jnp.arange(2), 3, dtype=x.dtype)
    return (x, targets[0]), (x[::-1], targets[1])


def _mixup(key, x):
    return hondo.mixup(key, *_pair(x), alpha=0.7)[0]


def _cutmix(key, x):
    return hondo.cutmix(key, *_pair(x), alpha=0.7)[0]


def _flip(key, x):
    return hondo.random_flip(key, x)


def _flip_vertical(key, x):
    return hondo.random_flip(key, x, direction="vertical")


def _crop(key, x):
    return hondo.random_crop(key, x, padding=2)


def _crop_reflected(key, x):
    return hondo.random_crop(key, x, padding=2, mode="reflect")


def _shift(key, x):
    return hondo.random_shift(key, x, max_shift=2)


def _cutout(key, x):
    return hondo.cutout(key, x, size=3)


def _rotate(key, x):
    return hondo.rotate(x, angle=31.0)


def _rotation(key, x):
    return hondo.random_rotation(key, x, max_angle=40.0)


def _quarter_turn(key, x):
    return hondo.random_quarter_turn(key, x)


def _composed(key, x):
    return hondo.compose(hondo.random_flip, partial(hondo.random_shift, max_shift=2))(key, x)


def _hook(key, x):
    return hondo.on_images(hondo.random_flip)(key, (x, x[0, 0]), (x[::-1], x[1, 1]))


def _keys(key, x):
    keys = hondo.example_keys(key, 2, jnp.arange(4))
    return jax.vmap(lambda key: jax.random.uniform(key, dtype=jnp.float32))(keys)


# The weight is known to some 12 roundings, with a logarithm, a root and a cosine among them, and
# the largest magnitude can take part twice; two products and a sum add three more.
MIX_ULPS = (2 * 12 + 3) / 2

# Bilinear interpolation at coordinates of magnitude at most 6: each coordinate is known to
# 6 roundings of 6u, and moves the value by at most twice the largest magnitude per pixel.
TURN_ULPS = 2 * 2 * 6 * 6 / 2

CASES = (
    Case("random_flip", _flip, IMAGE, random=True),
    Case("random_flip", _flip_vertical, IMAGE, random=True, label="vertical"),
    Case("random_crop", _crop, IMAGE, random=True),
    Case("random_crop", _crop_reflected, IMAGE, random=True, label="reflect"),
    Case("random_shift", _shift, (7, 4), random=True),
    Case("cutout", _cutout, IMAGE, random=True),
    Case("rotate", _rotate, IMAGE, ulps=TURN_ULPS),
    Case("random_rotation", _rotation, IMAGE, random=True, ulps=TURN_ULPS),
    Case("random_quarter_turn", _quarter_turn, (5, 5, 2), random=True),
    Case("mixup", _mixup, IMAGE, random=True, ulps=MIX_ULPS),
    Case("cutmix", _cutmix, IMAGE, random=True),
    Case("compose", _composed, IMAGE, random=True),
    Case("on_images", _hook, IMAGE, random=True, keeps=False),
    Case("example_keys", _keys, random=True, differentiable=False, keeps=False),
)
EXEMPT = {}
