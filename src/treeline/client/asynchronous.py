"""`treeline.AsyncClient`: the same as `treeline.Client`, for programs with an event loop."""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import httpx2

from treeline.client import messages
from treeline.client.messages import Answer, BadRows, Message, Record, ServedModel, Table, Truth
from treeline.client.synchronous import RETRIES, TIMEOUT_SECONDS, announce, authorized, away
from treeline.client.tables import Progress, labelled, labels, rows_of


class AsyncClient:
    """A client of one service; use it in an `async with` block, or await `close`.

    It takes, returns and raises what `treeline.Client` does.
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
        self._http = httpx2.AsyncClient(
            base_url=url, headers=authorized(key), timeout=timeout_seconds, follow_redirects=True
        )

    async def predict(
        self,
        record: Record,
        *,
        model: str | None = None,
        extra: str | None = None,
        explain: bool = False,
    ) -> Answer:
        """Ask a model, or the default one, for the prediction of one record."""
        message = messages.prediction(record, model=model, extra=extra, explain=explain)
        body = await self._sent(message)
        return Answer.of(messages.document_of(body))

    async def predict_batch(
        self,
        rows: Any,
        *,
        model: str | None = None,
        bad_rows: BadRows = "refuse",
        extra: str = "auto",
        progress: bool | Progress = False,
    ) -> Any:
        """Ask for the predictions of a frame of pandas, or of a list of records, chunk by chunk.

        Chunks are sent one after the other; several calls can be under way at once.
        """
        table = messages.Table(model, bad_rows, extra)
        return await self._answered(rows, table, progress)

    async def explain_batch(
        self,
        rows: Any,
        *,
        model: str | None = None,
        bad_rows: BadRows = "refuse",
        extra: str = "auto",
        progress: bool | Progress = False,
    ) -> Any:
        """Ask the same with what each feature added to each answer."""
        table = messages.Table(model, bad_rows, extra, explain=True)
        return await self._answered(rows, table, progress)

    async def feedback(self, truths: Truth | Iterable[Truth]) -> int:
        """Tell what proved to be true, and return how many truths were taken. It needs a key."""
        listed = [truths] if isinstance(truths, Truth) else list(truths)
        accepted = 0
        for start, end in messages.chunks(len(listed), messages.MOST_TRUTHS):
            body = await self._sent(messages.feedback(listed[start:end]))
            accepted += int(messages.document_of(body)["accepted"])
        return accepted

    async def models(self) -> list[ServedModel]:
        """Return every model of the service, whether it answers or not."""
        listed = messages.document_of(await self._sent(messages.models()))["models"]
        return [ServedModel.of(each) for each in listed]

    async def model(self, name: str) -> dict[str, Any]:
        """Return all that the service says of a model: its signature, as plain data."""
        return messages.document_of(await self._sent(messages.model(name)))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _answered(self, rows: Any, table: Table, progress: bool | Progress) -> Any:
        """Ask for rows chunk by chunk, and return their answers in the form of the rows."""
        size = min(self._chunk_rows, messages.EXPLAINED_ROWS) if table.explain else self._chunk_rows
        given, answers = rows_of(rows), list[dict[str, Any]]()
        for start, end in messages.chunks(len(given), size):
            label = labels(given, start)
            message = table.chunk(given.records(start, end), label)
            body = await self._sent(message, label=label)
            answers += [
                labelled(given, start, messages.row_of(each)) for each in messages.lines_of(body)
            ]
            announce(progress, end, len(given))
        return given.answered(answers)

    async def _sent(self, message: Message, *, label: Callable[[int], str] | None = None) -> bytes:
        """Send a message, again where that may help, and return the body of its answer."""
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                answer = await self._http.request(
                    message.method, message.path, content=message.body, headers=message.headers
                )
            except httpx2.ConnectError as error:
                if last:
                    raise away(self._http.base_url, error) from error
                await asyncio.sleep(2**attempt / 10)
                continue
            except httpx2.HTTPError as error:
                raise away(self._http.base_url, error) from error
            if answer.is_success:
                return answer.content
            seconds = messages.wait_seconds(answer.status_code, answer.headers)
            if last or seconds is None:
                raise messages.failure(answer.status_code, answer.content, label=label)
            await asyncio.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")
