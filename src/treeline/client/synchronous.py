"""`treeline.Client`: a connection to a service, and its routes as methods."""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import httpx2

from treeline.client import messages
from treeline.client.messages import Answer, BadRows, Message, Record, ServedModel, Table, Truth
from treeline.client.tables import Progress, labelled, labels, rows_of, shown
from treeline.errors import ServiceAwayError

TIMEOUT_SECONDS = 60.0
RETRIES = 2


class Client:
    """A client of one service; use it in a `with` block, or call `close`.

    `key` is an API key, which feedback needs, and predictions only of a service that says so. A
    request that the service puts off (429, or 503 with Retry-After) is sent again, `retries` times;
    so is one that did not reach it. Tables are sent in chunks of `chunk_rows` rows.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        chunk_rows: int = messages.CHUNK_ROWS,
    ) -> None:
        self._retries = retries
        self._chunk_rows = chunk_rows
        self._http = httpx2.Client(
            base_url=url, headers=authorized(key), timeout=timeout_seconds, follow_redirects=True
        )

    def predict(
        self,
        record: Record,
        *,
        model: str | None = None,
        extra: str | None = None,
        explain: bool = False,
    ) -> Answer:
        """Ask a model, or the default one, for the prediction of one record.

        `extra` is what becomes of keys that are no features: `refuse` (the service's own way),
        `ignore` or `auto`; with `explain` the answer has an `explanation`. Raises
        InvalidInputError, which names each wrong field, and ServiceError.
        """
        message = messages.prediction(record, model=model, extra=extra, explain=explain)
        body = self._sent(message)
        return Answer.of(messages.document_of(body))

    def predict_batch(
        self,
        rows: Any,
        *,
        model: str | None = None,
        bad_rows: BadRows = "refuse",
        extra: str = "auto",
        progress: bool | Progress = False,
    ) -> Any:
        """Ask for the predictions of a frame of pandas, or of a list of records, chunk by chunk.

        Returns the same form: a frame with the index of the given one, or a list of dictionaries.
        Columns are `prediction`, `probability`, `probability_<class>` of several classes, `id`, by
        which truths are told, and `version`. With `bad_rows="report"` a row that is not admitted
        has its reasons as `error` instead; else InvalidInputError names rows and fields, and the
        chunks before were answered. `extra` is what becomes of columns that are no features:
        `auto` (the service's own way), `ignore` or `refuse`. `progress` shows the rows on standard
        error, or is called with how many are answered and how many there are.
        """
        table = messages.Table(model, bad_rows, extra)
        return self._answered(rows, table, progress)

    def explain_batch(
        self,
        rows: Any,
        *,
        model: str | None = None,
        bad_rows: BadRows = "refuse",
        extra: str = "auto",
        progress: bool | Progress = False,
    ) -> Any:
        """Ask the same with what each feature added to each answer, at most 1,000 rows at a time.

        There are besides the columns `explanation_scale`, `explanation_base`, `explanation_value`
        and `contribution_<feature>` of each feature.
        """
        table = messages.Table(model, bad_rows, extra, explain=True)
        return self._answered(rows, table, progress)

    def feedback(self, truths: Truth | Iterable[Truth]) -> int:
        """Tell what proved to be true, and return how many truths were taken. It needs a key."""
        listed = [truths] if isinstance(truths, Truth) else list(truths)
        accepted = 0
        for start, end in messages.chunks(len(listed), messages.MOST_TRUTHS):
            body = self._sent(messages.feedback(listed[start:end]))
            accepted += int(messages.document_of(body)["accepted"])
        return accepted

    def models(self) -> list[ServedModel]:
        """Return every model of the service, whether it answers or not."""
        listed = messages.document_of(self._sent(messages.models()))["models"]
        return [ServedModel.of(each) for each in listed]

    def model(self, name: str) -> dict[str, Any]:
        """Return all that the service says of a model: its signature, as plain data."""
        return messages.document_of(self._sent(messages.model(name)))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answered(self, rows: Any, table: Table, progress: bool | Progress) -> Any:
        """Ask for rows chunk by chunk, and return their answers in the form of the rows."""
        size = min(self._chunk_rows, messages.EXPLAINED_ROWS) if table.explain else self._chunk_rows
        given, answers = rows_of(rows), list[dict[str, Any]]()
        for start, end in messages.chunks(len(given), size):
            label = labels(given, start)
            message = table.chunk(given.records(start, end), label)
            body = self._sent(message, label=label)
            answers += [
                labelled(given, start, messages.row_of(each)) for each in messages.lines_of(body)
            ]
            announce(progress, end, len(given))
        return given.answered(answers)

    def _sent(self, message: Message, *, label: Callable[[int], str] | None = None) -> bytes:
        """Send a message, again where that may help, and return the body of its answer."""
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                answer = self._http.request(
                    message.method, message.path, content=message.body, headers=message.headers
                )
            except httpx2.ConnectError as error:
                if last:
                    raise away(self._http.base_url, error) from error
                time.sleep(2**attempt / 10)
                continue
            except httpx2.HTTPError as error:
                raise away(self._http.base_url, error) from error
            if answer.is_success:
                return answer.content
            seconds = messages.wait_seconds(answer.status_code, answer.headers)
            if last or seconds is None:
                raise messages.failure(answer.status_code, answer.content, label=label)
            time.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")


def authorized(key: str | None) -> dict[str, str]:
    """Return the header of an API key, where there is one."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def away(url: object, error: Exception) -> ServiceAwayError:
    """Return the error of a service that cannot be reached, or that broke off."""
    words = str(error) or type(error).__name__
    return ServiceAwayError(
        f"{url}: no answer: {words}; is the service running, and the URL right?"
    )


def announce(progress: bool | Progress, done: int, total: int) -> None:
    """Say how many rows are answered, where that is wanted."""
    if progress:
        (shown if progress is True else progress)(done, total)
