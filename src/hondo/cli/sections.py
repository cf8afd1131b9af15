"""The options of `hondo train`, by the sections of the lecture: every technique is a field."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import UseAppendAction

from hondo.data import Task

# The keys of `hondo.ACTIVATIONS`, which a type has to spell out.
ActivationName = Literal[
    "sigmoid",
    "tanh",
    "hard_tanh",
    "soft_sign",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "identity",
]
InitName = Literal[
    "he_normal",
    "he_uniform",
    "glorot_normal",
    "glorot_uniform",
    "lecun_normal",
    "orthogonal",
    "gaussian",
]


@dataclass(frozen=True)
class DataOptions:
    """What the network is trained on, and how that is divided.

    Attributes:
        data: own data instead of a data set by name: a table (.csv, .tsv, .parquet, .feather, or a
            pattern such as 'shards/*.parquet'), a folder with one folder of images a class, or an
            array (.npy).
        target: the column of a table to predict; named again, another, which is a task of its own:
            the network has one trunk and a head for each (slide 5).
        targets: the array of the targets (.npy), where the data is an array.
        task: classification, binary or regression; by default what the targets look like. Of
            several targets that of all, or again for each.
        keep: columns to take as they are: identifiers, dates that are text, text among numbers.
        drop: columns to leave out.
        size: height and width that images are resized to; by default the size that all have.
        stream: own data that does not fit into memory: read it while the run goes on. Images and
            .npy files stay where they are; a table is encoded once, into a file in the run's folder
            that is deleted at the end.
        valid_every: with stream, after how many steps it validates, instead of after each epoch.
            What is counted as epochs elsewhere, by patience too, are then these validations.
        microbatches: with stream, in how many parts, one after another, the model takes each batch;
            for batches whose activations do not fit into memory. Batch norm normalizes each part.
        test_fraction: the part of own data to test on.
        dataset: digits, breast-cancer, diabetes or fashion-mnist.
        data_dir: the folder of the IDX files, where they are not in their usual place.
        valid_fraction: the part of the training data to validate on.
        split_seed: of the cut into training and validation data; by default the seed.
    """

    data: Path | None = None
    target: UseAppendAction[tuple[str, ...]] = ()
    targets: Path | None = None
    task: UseAppendAction[tuple[Task, ...]] = ()
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    size: int | None = None
    stream: bool = False
    valid_every: int | None = None
    microbatches: int = 1
    test_fraction: float = 0.15
    dataset: Literal["digits", "breast-cancer", "diabetes", "fashion-mnist"] = "digits"
    data_dir: Path | None = None
    valid_fraction: float = 0.15
    split_seed: int | None = None


@dataclass(frozen=True)
class NetworkOptions:
    """The network's form.

    Attributes:
        model: deep-mlp, resnet (images only), or plain, the same layers without norm, residual
            connections and dropout. What is no part of the network stays: switch off the rest by
            --init gaussian --l2 0 --clip 0 --no-augment --patience 0.
        depth: layers: even for deep-mlp, 6n + 2 for resnet. By default 24; 8 for resnet, 4 for
            the few rows of diabetes.
        width: units of a layer, channels of the first stage. By default 128; 16 for resnet, 32
            for diabetes.
        ensemble: how many networks, each from a start of its own, are trained at once; their
            predictions are averaged.
        dtype: of the computation; parameters, statistics and losses are float32 whatever it is.
    """

    model: Literal["deep-mlp", "resnet", "plain"] = "deep-mlp"
    depth: int | None = None
    width: int | None = None
    ensemble: int = 1
    dtype: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True)
class RegularizationOptions:
    """Slides 2 to 8: noise, augmentation, penalties, early stopping, averages, dropout.

    Attributes:
        l1: λ of the penalty (λ/2)‖W‖₁.
        l2: λ of the penalty (λ/2)‖W‖₂².
        max_norm: the largest norm of a unit's incoming weights; 0 is without a limit.
        keep_prob: P, the probability that dropout keeps a unit; 1 is without dropout.
        gaussian_dropout: dropout by a Gaussian factor of the same mean and variance.
        drop_connect: P, the probability that a weight is kept in a step; 1 keeps all.
        stochastic_depth: P, the probability that an example keeps a residual branch; 1 keeps all.
        input_noise: σ of the noise on training inputs.
        label_smoothing: ε, spread evenly over the classes; classification only.
        class_weights: none, or balanced, in which each class weighs the same in training.
        augment: random shifts of training images by a pixel or more, and flips where they keep
            the class (fashion-mnist); nothing for tables.
        rotation: the largest angle, in degrees, by which training images are turned at random.
        cutout: the side, in pixels, of a square that is left out of each training image.
        mixup: α of the weights Beta(α, α) with which two training examples are averaged.
        cutmix: α of the size of the box that one training image puts into another.
        ema: the decay of a moving average of the parameters, such as 0.99, which is what is
            validated and kept; 0 is without.
        swa: the epoch after which the parameters at the end of each are averaged, which is then
            what is validated and kept; 0 is without.
        patience: epochs in a row without improvement that stop the run; 0 is without early
            stopping.
        task_weights: a ≥ 0 of each target's loss in the sum of them, where there are several; by
            default 1.
    """

    l1: float = 0.0
    l2: float = 1e-4
    max_norm: float = 0.0
    keep_prob: float = 0.9
    gaussian_dropout: bool = False
    drop_connect: float = 1.0
    stochastic_depth: float = 1.0
    input_noise: float = 0.0
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    augment: bool = True
    rotation: float = 0.0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0
    swa: int = 0
    patience: int = 40
    task_weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class GradientOptions:
    """Slides 9 to 13: activations, residual connections, clipping, and the steps.

    Attributes:
        activation: φ.
        residual: residual connections.
        clip: the largest global norm of the gradient; 0 is without clipping.
        optimizer: adam, or sgd with momentum 0.9.
        learning_rate: of the first step, above 0.
        schedule: cosine to zero over all epochs, or constant.
    """

    activation: ActivationName = "relu"
    residual: bool = True
    clip: float = 1.0
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 2e-3
    schedule: Literal["constant", "cosine"] = "cosine"


@dataclass(frozen=True)
class InitializationOptions:
    """Slides 14 and 15.

    Attributes:
        init: of the kernels; gaussian is the slide's, with variance 0.01.
    """

    init: InitName = "he_normal"


@dataclass(frozen=True)
class NormalizationOptions:
    """Slides 16 to 18.

    Attributes:
        norm: batch, layer, rms or none.
    """

    norm: Literal["batch", "layer", "rms", "none"] = "batch"


@dataclass(frozen=True)
class RunOptions:
    """How long, from which seed, and where to.

    Attributes:
        out: the folder to write; it must not exist. By default runs/<dataset>-<n>.
        batch_size: examples of a step.
        max_epochs: the budget.
        watch: one line says which layer is sick, where the network of a single run does not learn.
        seed: of everything random, an integer in [0, 2^63).
    """

    out: Path | None = None
    batch_size: int = 64
    max_epochs: int = 100
    watch: bool = True
    seed: int = 0


@dataclass(frozen=True)
class ExecutionOptions:
    """How a run is carried out, which may be another way when it goes on.

    Attributes:
        save_every: seconds between two saves of the run, from which --resume goes on; by default
            half a minute, or as long as makes them a hundredth of the time.
        tensorboard: write the metrics for TensorBoard too, into the run's folder tensorboard.
        devices: with stream, how many devices share each batch; by default all that there are.
        distributed: with stream, train with the other processes of a cluster, each of which is
            started with the same options: Slurm, Open MPI, TPU pods or JAX_COORDINATOR_ADDRESS,
            JAX_NUM_PROCESSES and JAX_PROCESS_ID say which one this is. All need the data and
            the folder of the run within reach; the first one alone writes and speaks.
        coordinator: where no cluster says so, the address and port of the first process.
        processes: and how many there are.
        process: and which one this is, from 0.
    """

    save_every: float | None = None
    tensorboard: bool = False
    devices: int | None = None
    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


AS_USUAL = ExecutionOptions()
