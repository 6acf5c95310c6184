"""A tensor model → its first run, on values as dull as can be."""

from collections.abc import Iterator

import numpy as np

from api.tensors.graph import STRING, Array, TensorModel, one_line
from treeline.errors import ArtifactRejectedError

# What free dimensions are tried as: a network may have to shrink a picture a few times.
SIZES = (1, 2, 8, 32, 224)


def dry_run(model: TensorModel) -> None:
    """Run a model on zeros and ones; raises ArtifactRejectedError where none of them pass."""
    refusal = ""
    for sizes in attempts(model):
        for value in (0, 1):
            try:
                model.run(feeds(model, sizes, value))
            except MemoryError:
                raise
            except Exception as error:  # onnxruntime raises a class for each kind of fault
                refusal = one_line(error)
            else:
                return
    raise ArtifactRejectedError(
        f"its dry run failed, with free dimensions of {', '.join(map(str, SIZES))}: {refusal}; "
        "declare dimensions that must have another size as fixed"
    )


def attempts(model: TensorModel) -> Iterator[dict[str, int]]:
    """Return sizes of the free dimensions to try, by their name; one name has one size.

    First as a batch of one, whose first axis is 1 while the others grow; then all alike.
    """
    names = {name for axes in model.free for name in axes.values()}
    batch = {axes[0] for axes in model.free if 0 in axes}
    if not names:
        yield {}
        return
    for size in SIZES:
        yield {name: 1 if name in batch else size for name in names}
    for size in SIZES[1:4]:
        yield dict.fromkeys(names, size)


def feeds(model: TensorModel, sizes: dict[str, int], value: int) -> dict[str, Array]:
    """Return arrays full of one value, for all inputs."""
    given = {}
    for spec, axes in zip(model.inputs, model.free, strict=True):
        shape = [
            sizes[axes[axis]] if size is None else size for axis, size in enumerate(spec.shape)
        ]
        if spec.dtype == STRING:
            given[spec.name] = np.full(shape, "", dtype=object)
        else:
            given[spec.name] = np.full(shape, value, dtype=spec.dtype)
    return given
