"""On which devices and processes a run is trained."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

import hondo
from hondo._numerics.checks import check_count, check_range, error
from hondo.cli import run_folder
from hondo.cli.config import RunOptions, TrainConfig
from hondo.data import Dataset
from hondo.training.processes import ALONE, Team
from hondo.training.saving.event_file import check_tensorboard
from hondo.training.streaming.layout import AXIS, make_layout


def begin_processes(options: RunOptions, is_streamed: bool) -> None:
    """Checks how a run is to be carried out, before anything is written.

    Raises:
        ValueError: options that no run has, or only one that is streamed.
        ModuleNotFoundError: TensorBoard's extra is missing.
    """
    if options.devices and not is_streamed:
        raise error("devices", options.devices, "left out without --stream")
    if options.devices is not None:
        check_count("devices", options.devices)
    if options.save_every is not None:
        check_range("save_every", options.save_every, 0.0, open_low=True)
    if options.tensorboard:
        check_tensorboard()


def team_of(options: RunOptions) -> Team:
    """The processes that train together."""
    return ALONE


def mesh_of(options: RunOptions) -> Mesh | None:
    """The devices that share each batch, None for all that there are.

    Raises:
        ValueError: more devices than there are.
    """
    if options.devices is None:
        return None
    devices = jax.devices()
    if options.devices > len(devices):
        raise error("devices", options.devices, f"at most the {len(devices)} that there are")
    return Mesh(np.array(devices[: options.devices]), (AXIS,))


def check_shares(config: TrainConfig, options: RunOptions) -> None:
    """Raises where the devices and microbatches of a stream cannot share a batch evenly.

    Raises:
        ValueError: they cannot.
    """
    if config.stream:
        layout = mesh_of(options), hondo.replicated
        make_layout(*layout, config.batch_size, config.microbatches)


def make_folder(config: TrainConfig, options: RunOptions, dataset: Dataset) -> Path:
    """The run's new folder, which the first of several processes makes.

    Raises:
        ValueError: the folder exists already, or several processes have no name for it.
        OSError: the first process could not make it.
    """
    team, make = team_of(options), partial(run_folder.create, config, dataset)
    if team.size == 1:
        return make()
    if config.out is None:
        raise error("out", None, "given, the same on each of several processes", "Add --out.")
    team.on_first(make)
    return config.out
