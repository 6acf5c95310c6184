"""The log as the service exports it, over HTTP: JSON lines, read as they come."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from http.client import HTTPException
from itertools import islice
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
from pydantic_core import from_json, to_json

from treeline import __version__
from treeline.errors import SourceBusyError, SourceError
from treeline.monitoring.logs import CHUNK_ROWS, LogQuery
from treeline.monitoring.rows import Logged, LoggedPrediction

PLACE = "--log"
TIMEOUT_SECONDS = 120.0
DETAIL_CHARACTERS = 300
MOST_AHEAD = 10_000  # what is ahead of the clock is counted up to here
PASSING = frozenset({429, 502, 503, 504})
REFUSED = re.compile(r"^treeline_refused_fields_total\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class ServiceLog:
    """The routes of a service that tell what it predicted."""

    def __init__(self, url: str, secret: str) -> None:
        """Ask nothing yet; `secret` names the variable with an API key that may read the log."""
        self._base, self._secret = url.rstrip("/"), secret

    def first(self, model: str, version: str) -> float | None:
        """Return when a version answered first, None where it never did."""
        with self._lines({"model": model, "version": version}) as lines:
            for line in lines:
                return _seconds(from_json(line)["time"])
        return None

    def ahead(self, query: LogQuery) -> int:
        """Return how many predictions are of a time that has not come, MOST_AHEAD at most."""
        with self._lines({"model": query.model, "since": repr(query.until)}) as lines:
            return sum(1 for _ in islice(lines, MOST_AHEAD))

    def chunks(self, query: LogQuery) -> Iterator[Logged]:
        """Yield the rows, at most CHUNK_ROWS at a time."""
        parameters = {"model": query.model, "since": repr(query.reach), "until": repr(query.until)}
        with self._lines(parameters) as lines:
            while part := [from_json(line) for line in islice(lines, CHUNK_ROWS)]:
                logged = _logged([row for row in part if _is_wanted(row, query)])
                if len(logged.times):
                    yield logged

    def prediction(self, id: str) -> LoggedPrediction | None:
        """Return the prediction with an id, None where the log has none."""
        with self._lines({"id": id}) as lines:
            row = next((from_json(line) for line in lines), None)
        if row is None:
            return None
        del row["latency_seconds"]
        for name in ("time", "truth_time"):
            row[name] = row[name] and _seconds(row[name])
        return LoggedPrediction(**row)

    def refused(self, model: str) -> dict[str, int]:
        """Return how many requests were refused for each field, since the service was started."""
        with self._opened("/metrics") as answer:
            text = answer.read().decode()
        refused: Counter[str] = Counter()
        for labels, value in REFUSED.findall(text):
            label_values = dict(LABEL.findall(labels))
            if label_values.get("model") == model:
                refused[label_values["field"]] += int(float(value))
        return dict(refused)

    @contextmanager
    def _lines(self, parameters: dict[str, str]) -> Iterator[Iterator[bytes]]:
        with self._opened(
            f"/v1/predictions?{urlencode(parameters | {'format': 'jsonl'})}"
        ) as answer:
            yield iter(answer)

    @contextmanager
    def _opened(self, path: str) -> Iterator[Any]:
        """Yield the answer of a route; whatever it fails with becomes a SourceError."""
        key = os.environ.get(self._secret, "")
        request = Request(self._base + path, headers={"User-Agent": f"treeline/{__version__}"})
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        try:
            with closing(urlopen(request, timeout=TIMEOUT_SECONDS)) as answer:
                yield answer
        except HTTPError as error:
            raise self._failed(path, error) from error
        except URLError as error:
            raise SourceBusyError(f"{PLACE}: {self._base}: no answer: {error.reason}") from error
        except (OSError, HTTPException) as error:
            words = str(error) or type(error).__name__
            raise SourceBusyError(f"{PLACE}: {self._base}: broken off: {words}") from error

    def _failed(self, path: str, error: HTTPError) -> SourceError:
        with error:
            detail = _detail(error.read(DETAIL_CHARACTERS))
        route = path.partition("?")[0]
        text = f"{PLACE}: {self._base}{route} answered {error.code}: {detail or error.reason}"
        if error.code in PASSING:
            return SourceBusyError(text)
        if error.code in (401, 403):
            text += f"; put an API key with the scope `read` into {self._secret}"
        return SourceError(text)


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, TypeError, KeyError):
        return " ".join(body.decode(errors="replace").split())


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _is_wanted(row: dict[str, Any], query: LogQuery) -> bool:
    times = [row["time"], *([row["truth_time"]] if row["truth_time"] else [])]
    return any(_seconds(time) >= query.since for time in times)


def _logged(rows: list[dict[str, Any]]) -> Logged:
    def texts(name: str) -> list[Any]:
        return [None if row[name] is None else to_json(row[name]).decode() for row in rows]

    truth_times = [
        np.nan if row["truth_time"] is None else _seconds(row["truth_time"]) for row in rows
    ]
    return Logged(
        np.array([_seconds(row["time"]) for row in rows], dtype=np.float64),
        [row["version"] for row in rows],
        [text or "null" for text in texts("features")],
        texts("prediction"),
        [
            row["probability"] if many is None else many
            for row, many in zip(rows, texts("probabilities"), strict=True)
        ],
        texts("truth"),
        np.array(truth_times, dtype=np.float64),
    )
