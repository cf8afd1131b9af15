"""What a run is, in a line on its data, one on its network, and one on the remedies that are on."""

from hondo.cli import build
from hondo.cli.config import TrainConfig
from hondo.data import Dataset, Parts


def describe(config: TrainConfig, dataset: Dataset, parts: Parts) -> str:
    """The three lines."""
    network = build.network(config, dataset)
    members = f"an ensemble of {config.ensemble} × " if config.ensemble > 1 else ""
    dtype = f" in {config.dtype}" if config.dtype != "float32" else ""
    return (
        f"{dataset.name}: {_describe_task(dataset)}, {len(parts.train[0])} train, "
        f"{len(parts.valid[0])} validation, {len(dataset.test_inputs)} test\n"
        f"{members}{config.model}: {network.depth} layers of width {network.width}{dtype}, "
        f"{config.activation}, {config.init}, {config.optimizer} {config.learning_rate:g}\n"
        f"with {', '.join(_remedies(config)) or 'no remedy'}"
    )


def _remedies(config: TrainConfig) -> list[str]:
    dropout = "Gaussian dropout" if config.gaussian_dropout else "dropout"
    on = {
        f"{config.norm} norm": config.norm != "none",
        "residual": config.residual,
        f"{dropout} P = {config.keep_prob:g}": config.keep_prob < 1,
        f"drop-connect P = {config.drop_connect:g}": config.drop_connect < 1,
        f"stochastic depth P = {config.stochastic_depth:g}": config.stochastic_depth < 1,
        f"L1 {config.l1:g}": config.l1 > 0,
        f"L2 {config.l2:g}": config.l2 > 0,
        f"max-norm {config.max_norm:g}": config.max_norm > 0,
        f"clip {config.clip:g}": config.clip > 0,
        **_on_data(config),
        f"EMA {config.ema:g}": config.ema > 0,
        f"SWA after epoch {config.swa}": config.swa > 0,
        f"early stopping after {config.patience}": config.patience > 0,
    }
    return [name for name, is_on in on.items() if is_on]


def _on_data(config: TrainConfig) -> dict[str, bool]:
    return {
        f"input noise {config.input_noise:g}": config.input_noise > 0,
        f"label smoothing {config.label_smoothing:g}": config.label_smoothing > 0,
        "balanced classes": config.class_weights == "balanced",
        "augmentation": config.augment,
        f"rotation {config.rotation:g}°": config.rotation > 0,
        f"cutout {config.cutout}": config.cutout > 0,
        f"mixup {config.mixup:g}": config.mixup > 0,
        f"cutmix {config.cutmix:g}": config.cutmix > 0,
    }


def _describe_task(dataset: Dataset) -> str:
    if dataset.tasks:
        return ", ".join(f"{one.name}: {_describe_task(one)}" for one in dataset.tasks)
    names = ", ".join(dataset.classes[:6]) + (", …" if len(dataset.classes) > 6 else "")
    return f"{dataset.task} ({names})" if names else dataset.task
