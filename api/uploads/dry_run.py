"""A tensor model → its first run, on values as dull as can be."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from api.tensors.graph import STRING, Array, TensorSpec
from api.tensors.sessions import OpenGraph, one_line
from api.tensors.values import sizes as sizes_of
from treeline.errors import ArtifactRejectedError

# What free dimensions are tried as: a network may have to shrink a picture a few times.
SIZES = (1, 2, 8, 32, 224)
COUNTS = [size for size in range(3, 129) if size not in SIZES]  # of features, which may be free too
RANKS = (2, 1, 4, 3, 0)  # what is tried where a graph says none


def dry_run(model: OpenGraph) -> None:
    """Run a model on zeros and ones; raises ArtifactRejectedError where none of them pass.

    Where the graph says nothing of the shape of an input, nobody can know which ones would.
    """
    refusal = ""
    for given in trials(model):
        try:
            model.run(given)
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime raises a class for each kind of fault
            refusal = one_line(error)
        else:
            return
    if all(spec.shape is not None for spec in model.contract.inputs):
        raise ArtifactRejectedError(
            f"its dry run failed, with free dimensions of 1 to {COUNTS[-1]} and {SIZES[-1]}: "
            f"{refusal}; declare dimensions that must have another size as fixed"
        )


def trials(model: OpenGraph) -> Iterator[dict[str, Array]]:
    """Return all that a model is given until it runs."""
    for inputs in with_ranks(model.contract.inputs):
        for sizes in attempts(model, inputs):
            for value in (0, 1):
                yield feeds(model, inputs, sizes, value)


def with_ranks(inputs: Sequence[TensorSpec]) -> Iterator[Sequence[TensorSpec]]:
    """Return inputs with ranks for those of which none is known, all alike."""
    if all(spec.shape is not None for spec in inputs):
        yield inputs
        return
    for rank in RANKS:
        shape = (None,) * rank
        yield [spec if spec.shape is not None else replace(spec, shape=shape) for spec in inputs]


def attempts(model: OpenGraph, inputs: Sequence[TensorSpec]) -> Iterator[dict[str, int]]:
    """Return sizes of the free dimensions to try, by their name; one name has one size.

    First as a batch of one, whose first axis is 1 while the others grow; then all alike; then as
    one row of each number of features.
    """
    free = [axes_of(model, spec) for spec in inputs]
    names = {name for axes in free for name in axes.values()}
    batch = {axes[0] for axes in free if 0 in axes}
    if not names:
        yield {}
        return
    for size in SIZES:
        yield {name: 1 if name in batch else size for name in names}
    for size in SIZES[1:4]:
        yield dict.fromkeys(names, size)
    for size in COUNTS:
        yield {name: 1 if name in batch else size for name in names}


def axes_of(model: OpenGraph, spec: TensorSpec) -> dict[int, str]:
    """Return the names of the free dimensions of an input by axis."""
    named = model.free[spec.name]
    return {
        axis: named.get(axis, f"{spec.name}.{axis}")
        for axis, size in enumerate(sizes_of(spec))
        if size is None
    }


def feeds(
    model: OpenGraph, inputs: Sequence[TensorSpec], sizes: dict[str, int], value: int
) -> dict[str, Array]:
    """Return arrays full of one value, for all inputs."""
    given = {}
    for spec in inputs:
        axes = axes_of(model, spec)
        shape = [
            sizes[axes[axis]] if size is None else size for axis, size in enumerate(sizes_of(spec))
        ]
        if spec.dtype == STRING:
            given[spec.name] = np.full(shape, "", dtype=object)
        else:
            given[spec.name] = np.full(shape, value, dtype=spec.dtype)
    return given
