"""`make params`: is the declaration good, and what could it say?"""

import json

from tests.checkout import Checkout

PARAMS = ("-m", "treeline", "params")


def test_a_good_declaration_is_summed_up(reproduced: Checkout) -> None:
    said = reproduced.python(*PARAMS).stdout
    assert "params.yaml: good; the default model is flowers" in said
    assert "sugar: 2 features of library rows, 1 candidates, champion by rmse" in said


def test_the_schema_names_every_key(reproduced: Checkout) -> None:
    schema = json.loads(reproduced.python(*PARAMS, "--schema").stdout)
    assert {"source", "features", "candidates", "gate"} <= set(
        schema["$defs"]["ModelSpec"]["properties"]
    )
