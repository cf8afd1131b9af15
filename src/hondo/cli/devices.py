"""On which devices a run is trained."""

import jax
import numpy as np
from jax.sharding import Mesh

import hondo
from hondo._numerics.checks import check_count, check_range, error
from hondo.cli.config import TrainConfig
from hondo.cli.sections import ExecutionOptions
from hondo.training.saving.event_file import check_tensorboard
from hondo.training.streaming.layout import AXIS, make_layout


def check_execution(options: ExecutionOptions, is_streamed: bool) -> None:
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


def mesh_of(options: ExecutionOptions) -> Mesh | None:
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


def check_shares(config: TrainConfig, options: ExecutionOptions) -> None:
    """Raises where the devices and microbatches of a stream cannot share a batch evenly.

    Raises:
        ValueError: they cannot.
    """
    if config.stream:
        layout = mesh_of(options), hondo.replicated
        make_layout(*layout, config.batch_size, config.microbatches)
