"""Well-formed requests whose answers may not change, and which leave canaries in memory."""

import json
import re
from typing import TYPE_CHECKING

from tests.fuzz.cases import Request

if TYPE_CHECKING:
    from tests.fuzz.target import Target

CANARY = "canary-5d1f0c7be2a94e68"
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}
ROWS = b"age,bmi\n0.0123,-0.0456\n0.5,0.25\n"
REQUESTS = {
    "record": Request(
        "POST", "/v1/models/diabetes/predict", b'{"age": 0.0123, "bmi": -0.0456}', JSON
    ),
    "batch": Request("POST", "/v1/models/diabetes/predict/batch", ROWS, CSV),
    "values": Request("POST", "/v1/models/scaled/predict", b'{"values": [[1.5, 2, 3]]}', JSON),
    "refused": Request(
        "POST",
        "/v1/predict/batch",
        json.dumps([{"Species": CANARY, "Light_ISF": 0.5, "Leaves": 1, "Sterile": True}]).encode(),
        JSON,
    ),
}
OF_ITS_OWN = re.compile(rb"[0-9a-f]{32}")  # the id of a prediction
# The id of a batch, which begins the ids of its rows. In Arrow these follow each other, and the
# number of one row, `…-12`, cannot be told from the id behind it.
OF_A_BATCH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?=-[01])")


class Controls:
    """Asks the same again and again."""

    canaries = (CANARY.encode(),)

    def __init__(self, target: "Target") -> None:
        self._target = target
        self._first = {name: self._asked(request) for name, request in REQUESTS.items()}

    def changes(self) -> list[str]:
        """Return which answers are other ones than at first."""
        return [
            f"{name}: {self._first[name]!r} has become {answer!r}"
            for name, request in REQUESTS.items()
            if (answer := self._asked(request)) != self._first[name]
        ]

    def _asked(self, request: Request) -> tuple[int, bytes]:
        answer = self._target.ask(request)
        return answer.status, own(answer.body[:2000])


def own(body: bytes) -> bytes:
    """Return what an answer says besides the ids that each answer has of its own."""
    for batch in set(OF_A_BATCH.findall(body)):
        body = body.replace(batch, b"id")
    return OF_ITS_OWN.sub(b"id", body)
