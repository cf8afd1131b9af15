"""What a sweep returns."""

import math
from typing import Any, NamedTuple

import jax

from hondo._types import Hyperparameters, TreeDef
from hondo.regularization.early_stopping import StopReason
from hondo.training.state import FitResult

COLUMNS = ("member", "reason", "epochs", "best_epoch", "best_value")


class SweepResult(NamedTuple):
    """Every member's run, in the caller's order.

    Arrays are NumPy arrays on the host. Only Ctrl-C leaves members out: those that had not started.

    Attributes:
        members: the index of each run's member among the hyperparameters.
        hyperparameters: of each run, numbers as Python numbers, in the caller's structure.
        results: what `fit` returns for each.
        mode: "min" or "max", which values of the monitored metric are better.
        structure: that of the hyperparameters; None if each of their leaves is a leaf of a pytree.

    Example:
        >>> import hondo
        >>> hondo.SweepResult((), (), (), "min").table()
        []
    """

    members: tuple[int, ...]
    hyperparameters: tuple[Hyperparameters, ...]
    results: tuple[FitResult, ...]
    mode: str
    structure: TreeDef | None = None

    def best(self) -> tuple[Hyperparameters, FitResult]:
        """The hyperparameters and the result of the best value, the first of equals.

        Raises:
            ValueError: no run, or none that ever had a value.
        """
        sign = 1.0 if self.mode == "min" else -1.0
        # A run without one good epoch keeps the infinity that it began with.
        values = [sign * float(result.best.value) for result in self.results]
        has_best = [int(result.best.epoch) >= 0 for result in self.results]
        found = [i for i, v in enumerate(values) if has_best[i] and math.isfinite(v)]
        if not found:
            raise ValueError(
                f"best must have at least one run with a finite epoch, got {len(values)} runs "
                "without. Look at their history."
            )
        first = min(found, key=values.__getitem__)
        return self.hyperparameters[first], self.results[first]

    def table(self) -> list[dict[str, Any]]:
        """One row for each run, a dict of plain values.

        Its columns are "member", the hyperparameters by their names, "reason", "epochs",
        "best_epoch", "best_value", and the metrics of the best epoch as `train/…` and `valid/…`.
        Its epochs count from 1, for people and files; a run that no epoch improved has None.
        """
        runs = zip(self.members, self.hyperparameters, self.results, strict=True)
        return [
            {"member": member, **name_hyperparameters(hyper, self.structure), **_summarize(result)}
            for member, hyper, result in runs
        ]


def name_hyperparameters(
    hyperparameters: Hyperparameters, structure: TreeDef | None = None
) -> dict[str, Any]:
    """One member's hyperparameters by their paths in the structure.

    Example:
        >>> name_hyperparameters({"net": {"depth": 4}})
        {'net.depth': 4}
        >>> name_hyperparameters({"widths": (16, 32)}, jax.tree.structure({"widths": 0}))
        {'widths': (16, 32)}
    """
    found = structure
    if found is None:
        found = jax.tree.structure(hyperparameters, is_leaf=lambda leaf: leaf is None)
    indices = jax.tree.unflatten(found, range(found.num_leaves))
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(indices)]
    leaves = found.flatten_up_to(hyperparameters)
    return {
        jax.tree_util.keystr(path, simple=True, separator=".") or "hyperparameter": leaf
        for path, leaf in zip(paths, leaves, strict=True)
    }


def _summarize(result: FitResult) -> dict[str, Any]:
    epoch = int(result.best.epoch)
    return {
        "reason": StopReason(int(result.reason)).name.lower(),
        "epochs": int(result.last.epoch),
        "best_epoch": epoch + 1 if epoch >= 0 else None,
        "best_value": float(result.best.value),
        **{
            f"{part}/{name}": float(values[epoch]) if epoch >= 0 else math.nan
            for part, metrics in result.history._asdict().items()
            for name, values in metrics.items()
        },
    }
