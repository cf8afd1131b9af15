"""How `hondo train` is carried out: what is refused, and before anything is written."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import hondo
from hondo.cli import build, devices
from hondo.cli.config import TrainConfig
from hondo.cli.sections import ExecutionOptions
from hondo.cli.train import check_batch
from hondo.data import Parts
from hondo.training.processes import ALONE

STREAMED = TrainConfig(stream=True, batch_size=8, max_epochs=2)
TRAIN = np.zeros((20, 2)), np.zeros(20)

CONFIGS = {
    "valid_every must be left out without --stream, got 1": {"stream": False, "valid_every": 1},
    "microbatches must be left out without --stream": {"stream": False, "microbatches": 2},
    "valid_every must be an integer of at least 1": {"valid_every": 0},
    "microbatches must be an integer of at least 1": {"microbatches": 0},
    "valid_every must be at most the 4 steps of all epochs, got 5": {"valid_every": 5},
    "batch_size must be at most the 20 training examples": {"batch_size": 21},
    "batch_size must be a multiple of 3, for 1 devices and 3 microbatches": {"microbatches": 3},
}


def check(config: TrainConfig, options: ExecutionOptions) -> None:
    """What `prepare` looks at before it makes the folder."""
    build.check_config(config)
    devices.check_execution(options, config.stream)
    check_batch(config, Parts(TRAIN, TRAIN))
    devices.check_shares(config, options)


@pytest.mark.parametrize("words", CONFIGS)
def test_runs_that_cannot_be_are_refused(words) -> None:
    check(STREAMED, ExecutionOptions(devices=1))
    with pytest.raises(ValueError, match=words):
        check(replace(STREAMED, **CONFIGS[words]), ExecutionOptions(devices=1))


OPTIONS = {
    "devices must be an integer of at least 1": {"devices": -1},
    "devices must be at most the .* that there are": {"devices": len(jax.devices()) + 1},
    "save_every must be a finite number greater than 0": {"save_every": 0.0},
}


@pytest.mark.parametrize("words", OPTIONS)
def test_options_out_of_their_range_are_refused(words) -> None:
    with pytest.raises(ValueError, match=words):
        check(STREAMED, ExecutionOptions(**OPTIONS[words]))


@pytest.mark.parametrize(("patience", "ends"), [(0, False), (9, True)])
def test_without_early_stopping_no_number_of_validations_ends_a_run(patience, ends) -> None:
    # A stream may validate many times an epoch.
    stopper = build.stopper(TrainConfig(max_epochs=2, patience=patience))
    state = stopper.init(0)
    for _ in range(10):
        state = stopper.update(state, 1.0, 0)
    assert bool(state.stopped) == ends


@pytest.mark.parametrize("name", ["devices"])
def test_what_only_a_stream_has_is_refused_elsewhere(name) -> None:
    with pytest.raises(ValueError, match=f"{name} must be left out without --stream"):
        check(replace(STREAMED, stream=False), ExecutionOptions(**{name: True}))


def test_fewer_devices_are_the_first_ones() -> None:
    mesh = devices.mesh_of(ExecutionOptions(devices=1))
    assert mesh is not None
    assert [*mesh.devices.flat] == jax.devices()[:1]
    assert devices.mesh_of(ExecutionOptions()) is None


@pytest.mark.parametrize(
    ("name", "value"), [("coordinator", "x:1"), ("processes", 2), ("process", 0)]
)
def test_a_place_among_processes_is_refused_where_there_is_one(name, value) -> None:
    with pytest.raises(ValueError, match=f"{name} must be left out without --distributed"):
        check(STREAMED, ExecutionOptions(**{name: value}))


def test_a_process_joins_at_its_own_place_and_still_ends_at_signals(monkeypatch) -> None:
    told = []
    monkeypatch.setattr(hondo, "distributed", lambda **place: told.append(place))
    monkeypatch.setattr(devices, "end_at_signals", lambda: told.append("signals"))
    place = {"coordinator": "x:1", "processes": 3, "process": 2}
    assert devices.join(ExecutionOptions(**place)) == ALONE
    assert not told
    devices.join(ExecutionOptions(distributed=True, **place))
    assert told == [place, "signals"]
