"""The initializers under the generic laws."""

from laws import Case

import hondo


def _draws(init):
    return lambda key, x: init(key, x.shape, x.dtype)


CASES = tuple(
    Case(name, _draws(init), random=name != "zero_last", differentiable=False)
    for name, init in {
        "gaussian": hondo.gaussian(0.01),
        "glorot_uniform": hondo.glorot_uniform(),
        "glorot_normal": hondo.glorot_normal(),
        "he_uniform": hondo.he_uniform(),
        "he_normal": hondo.he_normal(),
        "lecun_uniform": hondo.lecun_uniform(),
        "lecun_normal": hondo.lecun_normal(),
        "orthogonal": hondo.orthogonal(2.0),
        "depth_scaled": hondo.depth_scaled(hondo.he_normal(), 3, layers=3),
        "zero_last": hondo.zero_last(),
    }.items()
)
EXEMPT = {
    "Fans": "a pair of numbers",
    "fans": "counts from a shape, not from arrays",
}
