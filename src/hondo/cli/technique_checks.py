"""What the techniques of a run are refused for, whatever the data set."""

from hondo._numerics.checks import check_count, check_probability, check_range, error
from hondo.cli.config import TrainConfig

_OFF = {"mixup": 0.0, "cutmix": 0.0, "ema": 0.0, "swa": 0}
_EITHER = (("cutmix", "mixup"), ("swa", "ema"))


def check_techniques(config: TrainConfig) -> None:
    """Raises for a value out of its range, and for techniques that exclude each other.

    Raises:
        ValueError: one of them.
    """
    for name in ("drop_connect", "stochastic_depth"):
        check_probability(name, getattr(config, name), "It is the probability of keeping.")
    for name in ("mixup", "cutmix"):
        check_range(name, getattr(config, name), 0.0, repair="It is α of Beta(α, α).")
    check_range("rotation", config.rotation, 0.0, 180.0)
    check_range("ema", config.ema, 0.0, 1.0)
    for name in ("cutout", "swa"):
        check_count(name, getattr(config, name), least=0)
    check_count("ensemble", config.ensemble)
    _check_together(config)
    _check_branches(config)


def _check_together(config: TrainConfig) -> None:
    for name, other in _EITHER:
        value, beside = getattr(config, name), getattr(config, other)
        if value != _OFF[name] and beside != _OFF[other]:
            raise error(name, value, f"{_OFF[name]} beside {other}={beside}", "Leave one out.")
    if config.swa >= config.max_epochs:
        expected = f"less than max_epochs, {config.max_epochs}"
        raise error("swa", config.swa, expected, "It is the epoch with which the average begins.")


def _check_branches(config: TrainConfig) -> None:
    """Stochastic depth needs branches to drop, Gaussian dropout a dropout to stand for."""
    is_plain = config.model == "plain"
    if config.stochastic_depth < 1 and (is_plain or not config.residual):
        expected, repair = "1 without residual connections", "It drops their branches."
        raise error("stochastic_depth", config.stochastic_depth, expected, repair)
    if config.gaussian_dropout and (is_plain or config.keep_prob == 1):
        repair = "It has the variance of --keep-prob, below 1, of deep-mlp or resnet."
        raise error("gaussian_dropout", True, "left out where there is no dropout", repair)
