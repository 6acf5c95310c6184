"""What the service logs: lines for people, or JSON with the request they are about; no secrets."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.http.ids import given_id
from api.http.keyring import new_key
from api.settings import Settings
from api.telemetry.logs import SERVERS, TEXT, JsonFormatter, TextFormatter, configure
from tests import calling
from tests.serving import serving
from tests.tiny_models import SURVIVAL, write_model

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def formatted(message: str, *args: object, formatter: logging.Formatter) -> str:
    record = logging.LogRecord("api.tests", logging.INFO, "here", 1, message, args, None)
    return formatter.format(record)


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Put the log of this process back as it was."""
    loggers = [logging.getLogger(name) for name in ("", *SERVERS)]
    before = [(each, each.level, list(each.handlers)) for each in loggers]
    formatters = [(each, each.formatter) for one in loggers for each in one.handlers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers = handlers
    for handler, formatter in formatters:
        handler.setFormatter(formatter)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("postgresql://log:hunter2@db/x is away", "postgresql://log:***@db/x is away"),
        ("amqp://u:p@ss/w0rd@host", "amqp://u:***@host"),
        (f"key treeline_{'a' * 43} was sent", "key *** was sent"),
        ("http://host:8000/a and b@c", "http://host:8000/a and b@c"),
    ],
)
def test_secrets_are_masked_whoever_logs_them(
    formatter: logging.Formatter, said: str, shown: str
) -> None:
    assert shown in formatted("%s", said, formatter=formatter)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter(TEXT)])
def test_nobody_writes_a_line_of_their_own_into_the_log(formatter: logging.Formatter) -> None:
    line = formatted("GET %s failed", "/a\n2026 INFO api: all is well\x1b[2J", formatter=formatter)
    assert len(line.splitlines()) == 1 and "\x1b" not in line


def test_text_is_for_people(kept_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers = [logging.StreamHandler(sys.stderr)]
    configure(Settings(log_level="warning"))
    logging.getLogger("api.tests").info("unheard")
    logging.getLogger("api.tests").warning("heard")
    assert capsys.readouterr().err.endswith("WARNING api.tests: heard\n")


def test_what_fails_is_logged_with_its_request_and_trace(
    models: Path, kept_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger().handlers = [logging.StreamHandler(sys.stderr)]
    configure(Settings(log_format="json"))
    app = create_app(Settings(model_dir=models))

    @app.get("/failing")
    async def failing() -> None:
        raise RuntimeError("no tree")

    headers = {"X-Request-ID": "mine", "traceparent": TRACEPARENT}
    assert TestClient(app).get("/failing", headers=headers).status_code == 500
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (told,) = [line for line in lines if line["level"] == "error"]
    assert (told["request_id"], told["trace_id"]) == ("mine", TRACE)
    assert told["logger"] == "api.http.problems" and "/failing" in told["message"]
    assert "RuntimeError: no tree" in told["exception"]
    assert told["time"].endswith("+00:00")


@pytest.mark.parametrize(
    ("headers", "known_as"),
    [
        ({"X-Request-ID": "mine", "traceparent": TRACEPARENT}, "mine"),
        ({"traceparent": TRACEPARENT}, TRACE),
        ({"X-Request-ID": "not sane\t", "traceparent": TRACEPARENT}, TRACE),
    ],
)
def test_a_request_without_an_id_has_that_of_its_trace(
    client: TestClient, headers: dict[str, str], known_as: str
) -> None:
    for answer in (
        client.post("/v1/predict", json=SURVIVAL.example, headers=headers),
        client.get("/v1/models", headers=headers),
    ):
        assert answer.headers["X-Request-ID"] == known_as


@pytest.mark.parametrize(
    "traceparent",
    [
        TRACE,
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
    ],
)
def test_what_is_no_trace_gives_no_id(traceparent: str) -> None:
    assert given_id({"headers": [(b"traceparent", traceparent.encode())]}) is None


def test_the_running_service_writes_json_and_no_secret(tmp_path: Path) -> None:
    write_model(tmp_path / "models", SURVIVAL)
    password, (key, line) = "hunter2-of-the-log", new_key("trainer")
    settings = {
        "API_LOG_FORMAT": "json",
        "API_KEYS": line,
        "API_PREDICTION_LOG_URL": f"postgresql+psycopg://log:{password}@127.0.0.1:1/log",
        "API_STATE_DIR": str(tmp_path / "state"),
        "WEB_CONCURRENCY": "1",
        "ACCESS_LOG": "-",
    }
    with serving(tmp_path / "models", tmp_path / "log", **settings) as service:
        headers = {"Authorization": f"Bearer {key}"}
        answer = calling.post(f"{service.url}/v1/predict", json=SURVIVAL.example, headers=headers)
        assert answer.status_code == 200
        service.stop()
    printed = (tmp_path / "log").read_text()
    welcome, _, logged = printed.partition("\n{")
    lines = ("{" + logged).splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    others = [line for line in lines if not line.startswith("{")]
    assert not others or "prediction_log.shipper" in others[0]  # a process with a log of its own
    assert "Treeline: http" in welcome
    assert {"gunicorn.error", "uvicorn.error"} <= {line["logger"] for line in told}
    assert any("POST /v1/predict" in line["message"] for line in told)
    for secret in (password, key, line.rpartition(":")[2]):
        assert secret not in printed
