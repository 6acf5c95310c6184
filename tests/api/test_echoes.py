"""Whatever is wrong, an answer repeats a bounded part of it."""

import pytest
from starlette.testclient import TestClient

from api.errors import UnusableAnswerError
from api.http.echoes import MAX_ECHO, detail_of, field_errors
from api.http.problems import document_of, respond
from tests.worst_bodies import PREDICT, worst
from treeline.errors import InvalidInputError, Problem

MOST_BYTES = 64 << 10
LONG = "ä" * 100_000
PROBLEMS = {
    "a long name": [Problem(LONG, "is unknown")],
    "long names": [Problem(LONG, "is unknown")] * 100,
    "a long message": [Problem("a", LONG)],
    "long messages": [Problem("a", LONG)] * 100,
    "messages of many names": [Problem("a", ", ".join(map(str, range(900))))] * 100,
    "many categories": [Problem("a", "is not admitted", "b", tuple(map(str, range(900))))] * 100,
    "a long value": [Problem("a", "is not admitted", [LONG] * 9)],
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("path", ["/v1/predict", "/v2/models/a/infer"])
def test_no_problem_is_long_however_long_its_parts_are(name: str, path: str) -> None:
    problem = document_of(InvalidInputError(PROBLEMS[name]), instance=path)
    assert len(respond(problem).body) < MOST_BYTES
    assert problem.errors is not None
    assert len(problem.errors[0].field) <= MAX_ECHO + 1


def test_no_other_problem_is_long_either() -> None:
    problem = document_of(UnusableAnswerError(LONG), instance="/v1/predict")
    assert len(respond(problem).body) < MOST_BYTES


def test_what_is_not_listed_is_counted() -> None:
    listed = field_errors(PROBLEMS["long messages"])
    assert 1 < len(listed) < 20
    assert listed[-1].message == f"and {100 - len(listed) + 1} more problems"


def test_what_is_short_is_repeated_whole() -> None:
    problems = [Problem(f"{row}.Soil", "is missing") for row in range(50)]
    assert [each.field for each in field_errors(problems)] == [each.place for each in problems]
    assert detail_of(problems).count("is missing") == 50


@pytest.mark.parametrize("name", ["long key", "long text", "unknown keys"])
def test_an_answer_is_not_as_long_as_its_question(client: TestClient, name: str) -> None:
    (request,) = [each for each in worst() if each.name == f"{PREDICT}: {name}"]
    answer = client.post(request.path, content=request.body)
    assert answer.status_code == 422
    assert len(answer.content) < MOST_BYTES
