"""What the areas are called, and why each of them matters."""

# By the name that a user types; the letters of the ids belong to it.
AREAS = {
    "initialization": ("INI",), "activations": ("ACT",), "dropout": ("DRP",), "noise": ("NOI",),
    "bn": ("BNT", "BNR", "BNI", "BNP", "BNF"), "norms": ("NRM",), "residual": ("RES",),
    "penalties": ("PEN",), "multitask": ("MTL",), "ensembles": ("ENS",),
    "augmentation": ("AUG",), "clipping": ("CLP",), "early_stopping": ("EST",),
    "gradients": ("GRD",), "diagnosis": ("DIA",), "streaming": ("STR",), "contracts": ("XCT",),
}  # fmt: skip

WHY = {
    "INI": "A variance that is wrong by a factor multiplies up over the layers: the signal "
    "vanishes or explodes before the first step.",
    "ACT": "Overflow in an activation or a loss turns a whole run into NaN, at one example.",
    "DRP": "A mask that is shared, biased or not the same backward trains another network, and "
    "nothing in the loss shows it.",
    "NOI": "Noise of the wrong size, or noise that stays, is a different regularization.",
    "BNT": "The variance of data far from zero cancels in single precision; the output is then "
    "noise, while the loss still falls.",
    "BNR": "Conventions of decay and of the running variance differ between frameworks; a model "
    "that is ported without them is silently worse.",
    "BNI": "At inference an example must not depend on its batch.",
    "BNP": "The mean of batch variances is not the variance of the data.",
    "BNF": "A folded layer that forgets ε or a bias serves other numbers than were validated.",
    "NRM": "The same cancellation as in batch norm, and groups that are cut the wrong way.",
    "RES": "The identity is what lets gradients through a deep network; a factor on it is felt "
    "to the power of the depth.",
    "PEN": "A factor of two, or penalized biases, make λ mean something else than in the paper.",
    "MTL": "Missing labels that count make the loss depend on how many are missing.",
    "ENS": "The average of logits is not the average of probabilities.",
    "AUG": "An offset that never comes or a coin for the whole batch halves the augmentation.",
    "CLP": "Clipping is there for the rare huge gradient: the one for which a naive norm "
    "overflows.",
    "EST": "One epoch too many or a NaN as the best value loses the model that was wanted.",
    "GRD": "What a layer does to the norm of a gradient happens once for each layer.",
    "DIA": "An instrument that names the wrong layer, or a healthy one, costs more than none.",
    "STR": "Examples that come twice or never change what is learned, and no error says so.",
    "XCT": "A function that changes the dtype, retraces, or accepts nonsense costs days elsewhere.",
}
