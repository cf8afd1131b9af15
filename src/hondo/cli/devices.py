"""On which devices a run is trained."""

import jax
import numpy as np
from jax.sharding import Mesh

import hondo
from hondo._numerics.checks import check_count, check_range, error
from hondo.cli.config import TrainConfig
from hondo.cli.sections import ExecutionOptions
from hondo.cli.signals import end_at_signals
from hondo.training.processes import Team, all_processes
from hondo.training.saving.event_file import check_tensorboard
from hondo.training.streaming.layout import AXIS, make_layout


def check_execution(options: ExecutionOptions, is_streamed: bool) -> None:
    """Checks how a run is to be carried out, before anything is written.

    Raises:
        ValueError: options that no run has, or only one that is streamed.
        ModuleNotFoundError: TensorBoard's extra is missing.
    """
    for name in ("devices", "distributed"):
        value = getattr(options, name)
        if value and not is_streamed:
            raise error(name, value, "left out without --stream")
    for name in ("coordinator", "processes", "process"):
        value = getattr(options, name)
        if value is not None and not options.distributed:
            raise error(name, value, "left out without --distributed")
    if options.devices is not None:
        check_count("devices", options.devices)
    if options.save_every is not None:
        check_range("save_every", options.save_every, 0.0, open_low=True)
    if options.tensorboard:
        check_tensorboard()


def join(options: ExecutionOptions) -> Team:
    """The processes that train together, of which this one may be the only one.

    Raises:
        ValueError: some of what says which one this is, but not all.
    """
    if options.distributed:
        place = options.coordinator, options.processes, options.process
        hondo.distributed(coordinator=place[0], processes=place[1], process=place[2])
        # JAX has handlers of its own now.
        end_at_signals()
    return all_processes()


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
