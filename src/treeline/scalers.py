"""Scalers of scikit-learn → ONNX, rounded where scikit-learn rounds.

Behind a scaler a tree compares with splits that stand between two scaled values. A scaler that
rounds otherwise sends rows to the other side: so each step here is computed in the type, and
rounded to float32 at the place, that scikit-learn has for a float32 matrix.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler


def register() -> None:
    """Put these converters in the place of the library's own."""
    for scaler in (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler):
        update_registered_converter(
            scaler, f"Treeline{scaler.__name__}", _shape, _convert, overwrite=True
        )


def _shape(operator: Any) -> None:
    """Say that a float32 matrix of as many columns comes out."""
    width = operator.inputs[0].type.shape[1]
    operator.outputs[0].type = FloatTensorType([None, width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a scaler: each step as scikit-learn takes it in place.

    `X -= center` with doubles on the right is computed in doubles and rounded to float32; where
    scikit-learn rounds the constant first, it is computed in float32.
    """
    scaler = operator.raw_operator
    steps = list(_steps(scaler))
    value = operator.inputs[0].full_name
    if not steps:
        _add(container, "Identity", [value], operator.outputs[0].full_name)
        return
    for number, (operation, constant) in enumerate(steps):
        last = number == len(steps) - 1
        name = operator.outputs[0].full_name if last else f"{operator.full_name}_{number}"
        value = _add_step(container, operation, (value, name), constant)


def _steps(scaler: Any) -> list[tuple[str, NDArray[Any]]]:
    """Return the steps of a fitted scaler in order: what is done, and with which numbers."""
    single = np.float32
    if isinstance(scaler, StandardScaler):
        return [
            *([("Sub", scaler.mean_.astype(single))] if scaler.with_mean else []),
            *([("Div", scaler.scale_.astype(single))] if scaler.with_std else []),
        ]
    if isinstance(scaler, RobustScaler):
        return [
            *([("Sub", scaler.center_)] if scaler.with_centering else []),
            *([("Div", scaler.scale_)] if scaler.with_scaling else []),
        ]
    if isinstance(scaler, MinMaxScaler):
        limits, steps = scaler.feature_range, [("Mul", scaler.scale_), ("Add", scaler.min_)]
    else:
        limits, steps = (-1, 1), [("Div", scaler.scale_)]
    return [*steps, ("Clip", np.array(limits, single))] if scaler.clip else steps


def _add_step(
    container: Any, operation: str, names: tuple[str, str], constant: NDArray[Any]
) -> str:
    taken, given = names
    if operation == "Clip":
        bounds = [f"{given}_low", f"{given}_high"]
        for name, bound in zip(bounds, constant, strict=True):
            container.add_initializer(name, TensorProto.FLOAT, [], [float(bound)])
        return _add(container, "Clip", [taken, *bounds], given)
    double = constant.dtype == np.float64
    kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
    container.add_initializer(f"{given}_with", kind, [len(constant)], constant.tolist())
    if not double:
        return _add(container, operation, [taken, f"{given}_with"], given)
    wide = _add(container, "Cast", [taken], f"{given}_wide", to=kind)
    exact = _add(container, operation, [wide, f"{given}_with"], f"{given}_exact")
    return _add(container, "Cast", [exact], given, to=TensorProto.FLOAT)


def _add(container: Any, operation: str, taken: list[str], given: str, **options: Any) -> str:
    version = {"Cast": 19, "Clip": 13, "Identity": 19}.get(operation, 14)
    container.add_node(
        operation, taken, [given], op_version=version, name=f"{given}_node", **options
    )
    return given
