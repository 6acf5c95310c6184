"""A file behind http → tables, from a real server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from treeline.config.sources import UrlSource
from treeline.errors import SourceError
from treeline.sources.files import UrlTables

CHUNK = b"1,x\n" * 10_000
CSV = b"a,b\n1,x\n2,y\n"


@dataclass
class Answer:
    """What the server says once; `claimed` is the length it promises, if not the true one.

    One that is `endless` promises none, and goes on with rows as long as anybody listens.
    """

    body: bytes = CSV
    status: int = 200
    claimed: int | str | None = None
    endless: bool = False


@dataclass
class Site:
    """A server on this machine, which gives its answers in turn and repeats the last."""

    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    asked: list[str] = field(default_factory=list)
    port: int = 0
    sent: int = 0

    def url(self, name: str = "rows.csv") -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            answer = site.next()
            self.send_response(answer.status)
            length = len(answer.body) if answer.claimed is None else answer.claimed
            if not answer.endless:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            with suppress(OSError):
                while answer.endless:
                    self.wfile.write(CHUNK)
                    site.sent += len(CHUNK)

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let downloads pass through a folder that must be empty in the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def read(url: str, **declared: Any) -> pd.DataFrame:
    spec = UrlSource(kind="url", url=url, timeout_seconds=10, **declared)
    return pa.concat_tables(UrlTables(spec, first_pause_seconds=0).tables()).to_pandas()


def refusal(url: str, **declared: Any) -> str:
    with pytest.raises(SourceError) as error:
        read(url, **declared)
    told = str(error.value)
    assert told.startswith(f"{url}: ")
    return told.removeprefix(f"{url}: ")


def test_a_csv_is_read(site: Site) -> None:
    assert read(site.url()).to_dict("list") == {"a": ["1", "2"], "b": ["x", "y"]}


def test_a_csv_is_read_as_declared(site: Site) -> None:
    site.answers = [Answer(b"a;b\n1;?\n")]
    frame = read(site.url("rows.csv?version=2"), delimiter=";", missing=["?"])
    assert frame["b"].isna().tolist() == [True]
    assert site.asked == ["/rows.csv?version=2"]


def test_a_parquet_file_is_read(site: Site) -> None:
    payload = BytesIO()
    pd.DataFrame({"a": [1.5]}).to_parquet(payload)
    site.answers = [Answer(payload.getvalue())]
    assert read(site.url("rows.parquet")).to_dict("list") == {"a": [1.5]}


def test_the_declared_content_is_taken(site: Site) -> None:
    assert len(read(site.url(), sha256=hashlib.sha256(CSV).hexdigest())) == 2


def test_other_content_than_declared_is_refused(site: Site) -> None:
    assert refusal(site.url(), sha256="0" * 64) == (
        f"its SHA-256 is {hashlib.sha256(CSV).hexdigest()}, declared is {'0' * 64}; "
        "if the new content is wanted, declare its digest"
    )


@pytest.mark.parametrize("length", ["many", "-1", "", "9" * 5000])
def test_a_length_that_is_no_number_is_none(site: Site, length: str) -> None:
    site.answers = [Answer(claimed=length)]
    (table,) = UrlTables(UrlSource(kind="url", url=site.url())).tables()
    assert table.num_rows == 2


def test_more_than_declared_is_refused_before_it_is_fetched(site: Site) -> None:
    site.answers = [Answer(claimed=10**9)]  # of which hardly any comes
    assert refusal(site.url(), max_bytes=12) == (
        "it has 1,000,000,000 bytes or more; at most 12 are fetched; "
        "if it is wanted, declare source.max_bytes"
    )
    assert len(site.asked) == 1
    site.answers = [Answer()]
    assert len(read(site.url(), max_bytes=len(CSV))) == 2


def test_what_never_ends_is_left_at_the_limit(site: Site) -> None:
    site.answers = [Answer(endless=True)]
    assert "at most 1,000,000 are fetched" in refusal(site.url(), max_bytes=1_000_000)
    assert len(site.asked) == 1
    assert site.sent < 50_000_000


def test_what_is_not_there_is_asked_for_once(site: Site) -> None:
    site.answers = [Answer(status=404)]
    assert refusal(site.url()) == "answered 404 Not Found; correct source.url"
    assert len(site.asked) == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_fault_that_passes_is_waited_for(site: Site, status: int) -> None:
    site.answers = [Answer(status=status), Answer(status=status), Answer()]
    assert len(read(site.url())) == 2
    assert len(site.asked) == 3


def test_a_fault_that_stays_is_told_in_the_end(site: Site) -> None:
    site.answers = [Answer(status=500)]
    assert refusal(site.url()) == (
        "answered 500 Internal Server Error (3 attempts); check that it can be reached from here, "
        "or try again later"
    )
    assert len(site.asked) == 3


def test_half_a_file_is_fetched_again(site: Site) -> None:
    site.answers = [Answer(CSV[:6], claimed=len(CSV)), Answer()]
    assert len(read(site.url())) == 2


def test_half_a_file_is_never_read(site: Site) -> None:
    site.answers = [Answer(CSV[:8], claimed=len(CSV))]
    assert refusal(site.url()).startswith("ended after 8 of 12 bytes (3 attempts); check")


def test_a_server_that_is_not_there_is_told() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
    told = refusal(f"http://127.0.0.1:{port}/rows.csv")
    assert "Connection refused (3 attempts); check that it can be reached" in told


def test_a_page_instead_of_a_table_is_told_by_its_url(site: Site) -> None:
    site.answers = [Answer(b"<p>Sign in,\n<p>please\n")]
    assert refusal(site.url()).startswith("cannot be read as csv: ")


def test_a_format_that_is_not_read_is_told_without_asking(site: Site) -> None:
    with pytest.raises(SourceError, match=r"give a file that ends in \.csv or"):
        read(site.url("rows.xlsx"))
    assert site.asked == []
