"""A model whose features may all be left out, so that a table of any one column is taken."""

from dataclasses import replace

from tests.tiny_models import SURVIVAL

NAMES = ("Species", "Phenolics", "Leaves")
ANY_TREE = replace(
    SURVIVAL,
    name="any-tree",
    features={
        name: SURVIVAL.features[name].model_copy(update={"nullable": True, "fill": None})
        for name in NAMES
    },
    example={name: SURVIVAL.example[name] for name in NAMES},
)
