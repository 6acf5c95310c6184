"""A model that was fitted elsewhere → an ONNX graph of the shape that is trained and served here.

`models` opens what people have, `graphs` turns it into a graph over the matrix of codes, `proving`
holds that against the model itself. What cannot be learnt of a model is asked for by its option.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What a person says of a model where the model itself does not.

    `features` are the columns that it takes, in its order, `classes` those of its probabilities;
    `trust` admits a file that runs code as it is opened.
    """

    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    trust: bool = False
