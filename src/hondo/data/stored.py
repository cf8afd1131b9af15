"""A data set's form without its examples, as JSON: all that a model needs to predict."""

from typing import Any

import numpy as np

from hondo.data.arrays import Scaling
from hondo.data.columns import Column, TableEncoding
from hondo.data.dataset import Dataset, Encoder, Units

Json = dict[str, Any]


def to_json(dataset: Dataset) -> Json:
    """The form of a data set: its tasks, their classes and units, its encoder.

    Raises:
        ValueError: a data set whose encoder is unknown.

    Example:
        >>> from hondo.data import load
        >>> to_json(load("digits"))["encoder"]["shape"]
        [8, 8, 1]
    """
    form = {**_task_to_json(dataset), "encoder": _encoder_to_json(dataset.encoder)}
    return {**form, "tasks": [*map(_task_to_json, dataset.tasks)]} if dataset.tasks else form


def _task_to_json(dataset: Dataset) -> Json:
    return {
        "name": dataset.name,
        "task": dataset.task,
        "outputs": dataset.outputs,
        "classes": list(dataset.classes),
        "target_units": _units_to_json(dataset.target_units),
    }


def from_json(values: Json) -> Dataset:
    """The data set of this form, without any example.

    Raises:
        ValueError: values that are of no data set.
    """
    try:
        encoder = _encoder_from_json(values["encoder"])
        tasks = tuple(_task_from_json(one, encoder) for one in values.get("tasks", ()))
        return _task_from_json(values, encoder)._replace(tasks=tasks)
    except (KeyError, TypeError, AttributeError) as reason:
        raise ValueError(f"the data set must be whole, got one with a wrong {reason}") from None


def _task_from_json(values: Json, encoder: Encoder) -> Dataset:
    nothing = np.zeros((0, *encoder.shape), np.float32)
    targets = np.zeros(0, np.float32 if values["task"] == "regression" else np.int32)
    return Dataset(
        str(values["name"]),
        values["task"],
        *(nothing, targets, nothing, targets),
        outputs=int(values["outputs"]),
        target_units=_units_from_json(values["target_units"]),
        classes=tuple(map(str, values["classes"])),
        encoder=encoder,
    )


def _encoder_to_json(encoder: Encoder | None) -> Json:
    if isinstance(encoder, TableEncoding):
        columns = [column._asdict() for column in encoder.columns]
        return {"kind": "table", "columns": columns, "dropped": list(encoder.dropped)}
    if isinstance(encoder, Scaling):
        units = _units_to_json(encoder.units)
        return {"kind": "array", "shape": list(encoder.shape), "units": units}
    raise ValueError(f"the encoder must be of a table or an array, got {type(encoder).__name__}.")


def _encoder_from_json(values: Json) -> TableEncoding | Scaling:
    if values["kind"] == "array":
        return Scaling(tuple(map(int, values["shape"])), _units_from_json(values["units"]))
    columns = tuple(
        Column(**{**column, "levels": tuple(column["levels"])}) for column in values["columns"]
    )
    return TableEncoding(columns, tuple(values["dropped"]))


def _units_to_json(units: Units) -> Json:
    # Doubles as Python writes them are read back bit for bit.
    return {name: np.asarray(value).tolist() for name, value in units._asdict().items()}


def _units_from_json(values: Json) -> Units:
    read = {name: np.asarray(values[name], np.float64) for name in Units._fields}
    return Units(**{name: value if value.ndim else float(value) for name, value in read.items()})
