"""Senders that are slow, many, or mean two things at once: they hold no place of a replica."""

import socket
import time
from contextlib import ExitStack

import pytest

from tests.balancer.conftest import Replica
from tests.balancing import PROXY, Balancer, received, request_for
from tests.waiting import wait_until

PATIENCE_SECONDS = 10  # of the balancer
HIDDEN = "GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
START = "POST /v1/predict HTTP/1.1\r\nHost: x\r\n"


def begun(balancer: Balancer, text: str, *, source: str = "127.0.0.1") -> socket.socket:
    """Begin a request, and leave it there."""
    asking = balancer.connect(source=source, timeout=3 * PATIENCE_SECONDS)
    asking.sendall(text.encode("latin-1"))
    return asking


def test_a_small_body_and_headers_that_do_not_come_hold_no_replica(
    balancer: Balancer, replica: Replica
) -> None:
    begin = time.monotonic()
    body = begun(balancer, f'{START}Content-Length: 100\r\n\r\n{{"Soil": ')
    with body, begun(balancer, f"{START}Content-Type: applic") as head:
        told = [received(each)[9:12] for each in (body, head)]
    assert told == ["408", "408"]
    assert time.monotonic() - begin < 2 * PATIENCE_SECONDS
    assert replica.arrived == []


def test_a_small_body_in_two_pieces_arrives_whole(balancer: Balancer, replica: Replica) -> None:
    with begun(balancer, f"{START}Connection: close\r\nContent-Length: 4\r\n\r\nab") as asking:
        assert replica.arrived == []
        asking.sendall(b"cd")
        assert received(asking)[9:12] == "200"
    assert replica.texts[0].endswith("\r\n\r\nabcd")


@pytest.mark.parametrize(
    "line",
    ["POST /v1/predict/batch", "POST /v1/models/iris/predict/batch", "PUT /v1/models/mine"],
)
def test_what_is_large_by_nature_is_passed_on_as_it_comes(
    balancer: Balancer, replica: Replica, line: str
) -> None:
    with begun(balancer, f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na,b"):
        wait_until(lambda: len(replica.arrived) == 1, seconds=5, what="it arrives")


def test_a_caller_has_so_many_connections_and_others_are_answered(
    balancer: Balancer, replica: Replica
) -> None:
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(begun(balancer, request_for("/v1/slow"), source="127.0.0.3"))
        wait_until(lambda: len(replica.arrived) == 5, seconds=10, what="all five are counted")
        assert balancer.status("/v1/models", source="127.0.0.3") == ""
        assert balancer.status("/v1/models", source="127.0.0.4") == "200"


def test_a_caller_behind_a_proxy_has_so_many_requests(balancer: Balancer, replica: Replica) -> None:
    with ExitStack() as held:
        for _ in range(5):
            slow = request_for("/v1/slow", "X-Forwarded-For: 8.8.8.8")
            held.enter_context(begun(balancer, slow, source=PROXY))
        wait_until(lambda: len(replica.arrived) == 5, seconds=10, what="five are under way")
        told = [
            balancer.status("/v1/models", f"X-Forwarded-For: {caller}", source=PROXY)
            for caller in ("8.8.8.8", "7.7.7.7")
        ]
        assert told == ["429", "200"]


@pytest.mark.parametrize(
    "headers", [("A: b",) * 65, ("A: " + "b" * 17_000,), ("A: " + "b" * 4_000,) * 5]
)
def test_headers_beyond_measure_are_refused(
    balancer: Balancer, replica: Replica, headers: tuple[str, ...]
) -> None:
    assert balancer.status("/v1/models", *headers) == "400"
    assert replica.arrived == []


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 44\r\nContent-Length: 0",
        "Content-Length: 0, 44",
        "Content-Length: +0",
        "Content-Length: 0x2c",
        "Content-Length: -1",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Host: y",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(
    balancer: Balancer, replica: Replica, headers: str
) -> None:
    assert balancer.ask(f"{START}{headers}\r\n\r\n0\r\n\r\n{HIDDEN}")[9:12] == "400"
    assert replica.arrived == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_of_a_length_and_chunks_only_the_chunks_arrive_and_nothing_behind_them(
    balancer: Balancer, replica: Replica, version: str
) -> None:
    start = START.replace("HTTP/1.1", f"HTTP/{version}")
    both = "Content-Length: 44\r\nTransfer-Encoding: chunked"
    balancer.ask(f"{start}{both}\r\n\r\n0\r\n\r\n{HIDDEN}")
    wait_until(lambda: len(replica.arrived) == 1, seconds=5, what="it arrives")
    assert "content-length" not in replica.texts[0]
    assert "smuggled" not in "".join(replica.texts)


def test_http_2_is_not_spoken_past_the_rules(balancer: Balancer, replica: Replica) -> None:
    settings = "\0\0\0\4\0\0\0\0\0"
    told = balancer.ask(f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{settings}")
    assert told.startswith("HTTP/1.1 400")
    assert replica.arrived == []
