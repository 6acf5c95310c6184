"""Whatever is sent as an infer request, the service never fails."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.formats.v2 import HEADER_LENGTH
from tests.tiny_models import DIABETES

INFER = "/v2/models/diabetes/infer"
Json = dict[str, Any]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*DIABETES.features, "other"]),
        "shape": st.lists(st.integers(-1, 3) | st.integers(), max_size=3),
        "datatype": st.sampled_from(["FP64", "FP32", "INT8", "UINT64", "BOOL", "BYTES", "FP16"]),
    },
    optional={
        "data": st.lists(JSON, max_size=4),
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 20)}),
    },
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(TENSORS, max_size=3), st.binary(max_size=30))
def test_no_request_makes_it_fail(client: TestClient, inputs: list[Json], payload: bytes) -> None:
    document = json.dumps({"inputs": inputs}).encode()
    headers = {HEADER_LENGTH: str(len(document))}
    answer = client.post(INFER, content=document + payload, headers=headers)
    assert answer.status_code in {200, 400, 422}
    assert "error" in answer.json() or answer.status_code == 200
