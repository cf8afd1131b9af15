"""`hondo list`: every technique of the lecture, where it is, and how `hondo train` is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from hondo._numerics.checks import error


class Technique(NamedTuple):
    """One technique.

    Attributes:
        slide: where the lecture has it.
        function: its name in hondo.
        does: in a few words.
        flag: the option of `hondo train` that sets it, or none.
    """

    slide: int
    function: str
    does: str
    flag: str = ""


TECHNIQUES = (
    Technique(2, "error_covariance", "what an ensemble gains: v/k + (k−1)c/k"),
    Technique(2, "init_ensemble", "members of an ensemble, each with its own start", "--ensemble"),
    Technique(2, "bootstrap_indices", "a training sample for each member (bagging)"),
    Technique(2, "average_probabilities", "an ensemble's prediction", "--ensemble"),
    Technique(2, "swa", "average of the parameters of late epochs", "--swa"),
    Technique(2, "ema", "moving average of the parameters", "--ema"),
    Technique(2, "gaussian_noise", "noise on inputs", "--input-noise"),
    Technique(2, "label_smoothing", "noise on outputs", "--label-smoothing"),
    Technique(2, "parameter_noise", "noise on parameters"),
    Technique(2, "random_shift", "images shifted at random", "--augment"),
    Technique(2, "random_crop", "images cropped at random", "--augment"),
    Technique(2, "random_flip", "images mirrored at random", "--augment"),
    Technique(2, "random_rotation", "images turned at random", "--rotation"),
    Technique(2, "cutout", "a square of each image left out", "--cutout"),
    Technique(2, "mixup", "mean of two examples and of their labels", "--mixup"),
    Technique(2, "cutmix", "a part of one image put into another", "--cutmix"),
    Technique(3, "l1_penalty", "(λ/2)‖W‖₁", "--l1"),
    Technique(3, "l2_penalty", "(λ/2)‖W‖₂²", "--l2"),
    Technique(3, "elastic_net_penalty", "both penalties"),
    Technique(3, "proximal_l1", "ℓ1 with weights of exactly 0"),
    Technique(3, "max_norm", "a bound for each unit's incoming weights", "--max-norm"),
    Technique(4, "early_stopping", "end after so many epochs without improvement", "--patience"),
    Technique(5, "multitask", "one trunk, a head for each task", "--target"),
    Technique(5, "multitask_loss", "weighted sum of the tasks' losses", "--task-weights"),
    Technique(5, "uncertainty_weighting", "weights of tasks that are learned"),
    Technique(5, "pcgrad", "gradients of tasks without their conflicts"),
    Technique(7, "dropout", "r ∗ x with r ~ Bernoulli(P)"),
    Technique(7, "inverted_dropout", "r ∗ x / P", "--keep-prob"),
    Technique(7, "gaussian_dropout", "dropout by a Gaussian factor", "--gaussian-dropout"),
    Technique(7, "drop_connect", "weights dropped instead of units", "--drop-connect"),
    Technique(7, "stochastic_depth", "residual branches dropped", "--stochastic-depth"),
    Technique(8, "scale_weights", "inference with P·W, which is exact"),
    Technique(8, "scale_parameters", "inference with P·{W, b}, as printed"),
    Technique(8, "monte_carlo", "inference as a mean over masks"),
    Technique(9, "diagnose", "which layer is sick, and its remedy", "hondo diagnose"),
    Technique(11, "clip_by_global_norm", "gradients of a bounded norm", "--clip"),
    Technique(11, "clip_by_value", "gradients of bounded entries"),
    Technique(11, "clip_by_layer", "a bound for each layer"),
    Technique(11, "adaptive_clip", "a bound that goes with the weights"),
    Technique(12, "find_activation", "saturating and non-saturating activations", "--activation"),
    Technique(12, "saturated", "which units are flat"),
    Technique(13, "residual", "x + F(x)", "--residual"),
    Technique(13, "repeat", "the same block many times, compiled once", "--depth"),
    Technique(13, "zero_last", "blocks that are the identity at first"),
    Technique(14, "gaussian", "weights N(0, variance)", "--init"),
    Technique(15, "glorot_uniform", "U[±√(6/(n_e+n_s))]", "--init"),
    Technique(15, "glorot_normal", "N(0, 2/(n_e+n_s))", "--init"),
    Technique(15, "he_normal", "N(0, 2/n_e)", "--init"),
    Technique(15, "orthogonal", "weights that keep lengths", "--init"),
    Technique(17, "batch_norm", "normalization by the batch", "--norm"),
    Technique(17, "layer_norm", "normalization by the example", "--norm"),
    Technique(17, "rms_norm", "layer norm without the mean", "--norm"),
    Technique(17, "group_norm", "normalization by groups of channels"),
    Technique(17, "weight_norm", "weights by direction and length"),
    Technique(18, "population_stats", "statistics of the whole population"),
    Technique(18, "batch_averaged_stats", "algorithm 2: m/(m−1)·E[σ²_B]"),
    Technique(18, "batch_norm_inference", "normalization by known statistics"),
    Technique(18, "fold_batch_norm", "a norm folded into the layer before it"),
)


@dataclass(frozen=True)
class ListConfig:
    """Lists the lecture's techniques: slide, function of hondo, option of hondo train.

    Attributes:
        slide: those of this slide alone, 2 to 18.
        cache: has no effect here.
    """

    slide: int | None = None
    cache: bool = False


def prepare(config: ListConfig) -> Callable[[], int]:
    """Returns what prints the list.

    Raises:
        ValueError: a slide without a technique.
    """
    found = [t for t in TECHNIQUES if config.slide in (None, t.slide)]
    if not found:
        known = ", ".join(map(str, sorted({t.slide for t in TECHNIQUES})))
        raise error("slide", config.slide, f"one of {known}", "hondo list shows all.")

    def show() -> int:
        print(as_table(found))
        return 0

    return show


def as_table(techniques: list[Technique]) -> str:
    """Aligned columns: slide, function, option, what it does."""
    rows = [("slide", "hondo.", "hondo train", "")]
    rows += [(str(t.slide), t.function, t.flag, t.does) for t in techniques]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        f"{slide:>{widths[0]}}  {name:<{widths[1]}}  {flag:<{widths[2]}}  {does}"
        for slide, name, flag, does in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
