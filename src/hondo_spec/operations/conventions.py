"""What a target may declare where several choices are right."""

# By name, each value with what it means; the first is taken where nothing is declared.
CONVENTIONS = {
    "normal": {
        "full": "normal initializers are not cut",
        "truncated": "they are cut at two deviations and rescaled to the variance that they state",
    },
    "dropout": {
        "inverted": "training divides by P what it keeps; inference changes nothing",
        "lecture": "training leaves what it keeps as it is; inference multiplies by P",
    },
    "decay": {
        "old": "`decay` is the weight of the old running value",
        "new": "`decay` is the weight of the new value, which other libraries call momentum",
    },
    "running_variance": {
        "biased": "the variance over m examples goes into the running one as it is",
        "unbiased": "it goes in times m / (m − 1)",
    },
    "nonfinite": {
        "propagate": "a gradient with infinite or NaN entries leaves clipping with such entries",
        "zero": "these entries become 0 and the rest is clipped",
        "skip": "every entry becomes 0",
        "error": "clipping raises",
    },
}
