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
        "skip": "every entry becomes 0", "error": "clipping raises",
    },
    "nonfinite_metric": {
        "waits": "a NaN or an infinite value is no improvement, and early stopping waits as usual",
        "stops": "early stopping ends at the first value that is not finite",
    },
    "batch_of_one": {
        "taken": "a batch of one example is like any other",
        "refused": "batch norm raises for it, and so may all else",
    },
    "dropping_all": {"taken": "P = 0 drops every unit", "refused": "dropout raises for P = 0"},
    "nan_scores": {
        "taken": "accuracy counts outputs of NaN as wrong, or is NaN",
        "refused": "it raises for them",
    },
    "half_precision": {
        "taken": "data is of float16 and bfloat16 too, as far as they are installed",
        "refused": "an operation raises for them",
    },
    "other_ranks": {
        "taken": "data has as many axes as it happens to have",
        "refused": "an operation raises for data of another rank than 2",
    },
}  # fmt: skip
