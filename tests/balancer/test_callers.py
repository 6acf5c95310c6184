"""Whose request it is: what a caller says of that is worth nothing."""

from pathlib import Path

import pytest

from tests.balancer.conftest import Replica
from tests.balancing import PROXY, Balancer, balancing, need_haproxy, request_for
from tests.serving import serving

FORGED = (
    ("X-Forwarded-For: 6.6.6.6",),
    ("X-Forwarded-For: 6.6.6.6, 127.0.0.1", "X-Forwarded-For: 7.7.7.7"),
    ("x-forwarded-for:6.6.6.6", "X-FORWARDED-FOR: [::1]:80"),
    ("X_Forwarded_For: 6.6.6.6", "X-Forwarded_For: 6.6.6.6"),
    ("Connection: close, X-Forwarded-For", "X-Forwarded-For: 6.6.6.6"),
    ("Forwarded: for=6.6.6.6;proto=https;host=evil.example", "X-Real-IP: 6.6.6.6"),
    ("X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /evil"),
    ("X-Forwarded-Proto: https", "X-Forwarded-Server: 6.6.6.6", "X-Forwarded-Proto: gopher"),
    ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
)


def said(text: str) -> list[str]:
    """Return the headers of a request that speak of its caller, as a replica reads them."""
    words = ("forwarded", "real-ip", "real_ip", "upgrade:")
    lines = text.partition("\r\n\r\n")[0].split("\r\n")[1:]
    named = [line.lower() for line in lines if any(word in line.lower() for word in words)]
    return sorted(line for line in named if not line.startswith("connection:"))


@pytest.mark.parametrize("headers", FORGED)
def test_what_a_caller_says_of_itself_does_not_arrive(
    balancer: Balancer, replica: Replica, headers: tuple[str, ...]
) -> None:
    assert balancer.status("/v1/models", *headers, source="127.0.0.3") == "200"
    assert said(replica.texts[0]) == ["x-forwarded-for: 127.0.0.3", "x-forwarded-proto: http"]


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (("X-Forwarded-For: 8.8.8.8", "X-Forwarded-Proto: https"), ("8.8.8.8", "https")),
        (("X-Forwarded-For: 6.6.6.6, 8.8.8.8",), ("8.8.8.8", "http")),
        (("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 2001:db8::7"), ("2001:db8::7", "http")),
        (("X-Forwarded-For: nobody", "X-Forwarded-Proto: gopher"), (PROXY, "http")),
        ((), (PROXY, "http")),
    ],
)
def test_of_a_proxy_that_is_named_the_last_word_is_taken(
    balancer: Balancer, replica: Replica, headers: tuple[str, ...], told: tuple[str, str]
) -> None:
    assert balancer.status("/v1/models", *headers, source=PROXY) == "200"
    assert said(replica.texts[0]) == [
        f"x-forwarded-for: {told[0]}",
        f"x-forwarded-proto: {told[1]}",
    ]


def test_requests_on_one_connection_of_a_proxy_have_each_their_own_caller(
    balancer: Balancer, replica: Replica
) -> None:
    first = "GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n"
    second = "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    balancer.ask(first + second, source=PROXY)
    assert [said(text)[0] for text in replica.texts] == [
        "x-forwarded-for: 8.8.8.8",
        f"x-forwarded-for: {PROXY}",
    ]


def test_a_forged_address_gives_no_second_rate(models: Path, tmp_path: Path) -> None:
    need_haproxy()
    limited = {"WEB_CONCURRENCY": "1", "API_REQUESTS_PER_SECOND": "0.1"}
    with (
        serving(models, tmp_path / "log", **limited) as service,
        balancing(tmp_path, service.port) as balancer,
    ):
        forged = [predict(balancer, f"X-Forwarded-For: 6.6.6.{n}") for n in range(6)]
        assert forged[-1] == "429"
        assert predict(balancer, source="127.0.0.4") != "429"


def predict(balancer: Balancer, *headers: str, source: str = "127.0.0.3") -> str:
    asked = request_for("/v1/predict", *headers, method="POST", body="{}")
    return balancer.ask(asked, source=source)[9:12]
