"""The same requests get the same answers: status, media type and body, for every door."""

import pytest
from starlette.testclient import TestClient

from tests.api.corpus import Answer, Request, recorded, requests, same


@pytest.mark.parametrize(
    ("request_", "answer"), recorded(), ids=lambda each: getattr(each, "name", "")
)
def test_the_answer_is_the_recorded_one(
    client: TestClient, request_: Request, answer: Answer
) -> None:
    assert Answer.of(request_.send(client)) == answer


def test_every_request_is_recorded() -> None:
    assert [each.name for each, _ in recorded()] == [each.name for each in requests()]


def test_doors_and_refusals_are_among_them() -> None:
    statuses = {answer.status for _, answer in recorded()}
    assert {200, 404, 405, 415, 422} <= statuses
    assert not {status for status in statuses if status >= 500} - {503}


def test_what_changes_from_run_to_run_is_left_out_and_nothing_else() -> None:
    one = '{"p": 0.12345678901234, "id": "0190a5d211117abc8def0123456789ab-1", "by": "1.2.3"}'
    assert same(one) == '{"p": 0.123457, "id": "<id>", "by": "<version>"}'
    assert same("0.12345678901234") != same("0.12346678901234")
