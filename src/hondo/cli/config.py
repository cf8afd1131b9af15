"""What a training run is, as one typed value: every technique is a field."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hondo.data import Task


@dataclass(frozen=True)
class TrainConfig:
    """Trains a deep network and writes a folder with all that came of it.

    Attributes:
        data: own data instead of a data set by name: a table (.csv, .tsv, .parquet, .feather, or a
            pattern such as 'shards/*.parquet'), a folder with one folder of images a class, or an
            array (.npy).
        target: the column of a table to predict.
        targets: the array of the targets (.npy), where the data is an array.
        task: classification, binary or regression; by default what the targets look like.
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
        out: the folder to write; it must not exist. By default runs/<dataset>-<n>.
        model: deep-mlp, resnet (images only), or plain, the same layers without norm, residual
            connections and dropout. What is no part of the network stays: switch off the rest by
            --init gaussian --l2 0 --clip 0 --no-augment --patience 0.
        depth: layers: even for deep-mlp, 6n + 2 for resnet. By default 24; 8 for resnet, 4 for
            the few rows of diabetes.
        width: units of a layer, channels of the first stage. By default 128; 16 for resnet, 32
            for diabetes.
        activation: sigmoid, tanh, hard_tanh, soft_sign, relu, leaky_relu, elu, selu, gelu, silu,
            softplus or identity.
        init: of the kernels: he_normal, he_uniform, glorot_normal, glorot_uniform, lecun_normal,
            orthogonal, or gaussian, the slide's with variance 0.01.
        norm: batch, layer, rms or none.
        residual: residual connections.
        keep_prob: P, the probability that dropout keeps a unit; 1 is without dropout.
        l1: λ of the penalty (λ/2)‖W‖₁.
        l2: λ of the penalty (λ/2)‖W‖₂².
        max_norm: the largest norm of a unit's incoming weights; 0 is without a limit.
        clip: the largest global norm of the gradient; 0 is without clipping.
        input_noise: σ of the noise on training inputs.
        label_smoothing: ε, spread evenly over the classes; classification only.
        class_weights: none, or balanced, in which each class weighs the same in training.
        augment: random shifts of training images by a pixel or more, and flips where they keep
            the class (fashion-mnist); nothing for tables.
        optimizer: adam, or sgd with momentum 0.9.
        learning_rate: of the first step, above 0.
        schedule: cosine to zero over all epochs, or constant.
        batch_size: examples of a step.
        max_epochs: the budget.
        patience: validations in a row without improvement that stop the run, one an epoch unless
            valid-every says otherwise; 0 is without early stopping.
        valid_fraction: the part of the training data to validate on.
        watch: one line says which layer is sick, where the network of a single run does not learn.
        seed: of everything random, an integer in [0, 2^63).
        split_seed: of the cut into training and validation data; by default the seed.
    """

    data: Path | None = None
    target: str | None = None
    targets: Path | None = None
    task: Task | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    size: int | None = None
    stream: bool = False
    valid_every: int | None = None
    microbatches: int = 1
    test_fraction: float = 0.15
    dataset: str = "digits"
    data_dir: Path | None = None
    out: Path | None = None
    model: Literal["deep-mlp", "resnet", "plain"] = "deep-mlp"
    depth: int | None = None
    width: int | None = None
    activation: str = "relu"
    init: str = "he_normal"
    norm: Literal["batch", "layer", "rms", "none"] = "batch"
    residual: bool = True
    keep_prob: float = 0.9
    l1: float = 0.0
    l2: float = 1e-4
    max_norm: float = 0.0
    clip: float = 1.0
    input_noise: float = 0.0
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    augment: bool = True
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 2e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    batch_size: int = 64
    max_epochs: int = 100
    patience: int = 40
    valid_fraction: float = 0.15
    watch: bool = True
    seed: int = 0
    split_seed: int | None = None


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out, which may be another way when it goes on.

    Attributes:
        save_every: seconds between two saves of the run, from which --resume goes on; by default
            half a minute, or as long as makes them a hundredth of the time.
        tensorboard: write the metrics for TensorBoard too, into the run's folder tensorboard.
        devices: with stream, how many devices share each batch; by default all that there are.
    """

    save_every: float | None = None
    tensorboard: bool = False
    devices: int | None = None


AS_USUAL = RunOptions()


@dataclass(frozen=True)
class SweepConfig:
    """Trains every combination of the values and writes a folder with all that came of it.

    For example `hondo sweep l2=0,1e-5,1e-4,1e-3 seed=0,1,2 --max-epochs 50`. The folder has the
    table of the runs, a picture of the path and, in its folder `best`, the best run as `hondo
    train` would have written it. Which values are the best is decided by the mean over the seeds;
    then the best of their runs is taken.

    Attributes:
        over: for each swept field its values, name=value,value,…; any option but those of the
            data, of streams, out, valid-fraction, split-seed and watch. The data is split by
            --split-seed or else --seed, the same for all.
        train: what all the runs share.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    over: tyro.conf.Positional[tuple[str, ...]]
    train: Annotated[TrainConfig, tyro.conf.arg(name="")]
    cache: bool = True


@dataclass(frozen=True)
class PredictConfig:
    """Predicts with the best model of a run's folder.

    Attributes:
        run: the folder that `hondo train` wrote, or the folder `best` of a sweep.
        inputs: new examples in the form of the training data: a table with its columns, a folder of
            images, or a NumPy file (.npy) in the units of the source: features as scikit-learn
            gives them, pixels of 0 to 16 (digits) or 0 to 255. By default the data's own test part,
            with its score.
        out: a CSV file to write the predictions to, classes by name or numbers in the targets' own
            units; it must not exist. By default they are only counted.
        probabilities: the probability of each class beside it.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    run: tyro.conf.Positional[Path]
    inputs: tyro.conf.Positional[Path | None] = None
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    probabilities: bool = False
    cache: bool = True
