"""A running service and the signatures it should serve → what it answers otherwise."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

from treeline.artifact.store import SIGNATURE_FILE
from treeline.contract.signature import Signature
from treeline.deployment.exchange import NO_ANSWER, Answer, exchange
from treeline.errors import DeploymentError, NotAdmittedError

TOLERANCE = 1e-4  # relative, below 1 absolute: examples are repeated elsewhere, in float32
PAUSE_SECONDS = 1.0
QUOTED_CHARACTERS = 500  # of an answer, in a complaint
LIMITED, TRIES = 429, 5  # an example that comes too soon after another is asked again, so often
UNKNOWN_HOST = "unknown-host"  # how the type of such a problem ends
ADMISSION = {
    400: "API_ALLOWED_HOSTS names other hosts: put one of them in `host_header` of agent.toml",
    401: "it wants an API key: put one in a file, and its path in `key_file` of agent.toml",
    403: "it wants another API key: one with the scope `predict` in `key_file` of agent.toml",
    LIMITED: "API_REQUESTS_PER_SECOND is too low for the examples to be asked",
}


@dataclass(frozen=True)
class Caller:
    """As whom a service is asked: with a key, by one of its names; empty where it wants neither."""

    key: str = ""
    host: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request."""
        given = {"X-API-Key": self.key, "Host": self.host}
        return {name: value for name, value in given.items() if value}


ANYBODY = Caller()


def signatures_of(root: Path) -> list[Signature]:
    """Read the signatures of the models in a checkout, by name.

    Raises DeploymentError where there is none, and ArtifactRejectedError where one is malformed.
    """
    paths = sorted((root / "model").glob(f"*/{SIGNATURE_FILE}"))
    if not paths:
        raise DeploymentError(
            f"{root / 'model'}: holds no {SIGNATURE_FILE}, so there is nothing to ship; "
            "export a model first: make repro"
        )
    return [Signature.read(path) for path in paths]


def complaints(
    url: str,
    signatures: Sequence[Signature],
    *,
    others: bool = False,
    caller: Caller = ANYBODY,
) -> list[str]:
    """Return how a service differs from its signatures; nothing when it serves exactly them.

    With `others` it may serve other models besides, as those that were uploaded to it.

    `url` is where it answers, without a path. It is asked whether it is ready with the same
    models in the same versions, then for the prediction of every example, then the default model.
    A service that is not ready is not asked for predictions. Raises NotAdmittedError where it does
    not let `caller` ask, whether it differs or not.
    """
    base = url.rstrip("/")
    ready = exchange("GET", f"{base}/readyz", secrets=caller.headers)
    if reasons := _unready(ready, signatures, others=others):
        return reasons
    paths = [(f"/v1/models/{signature.name}/predict", signature) for signature in signatures]
    paths += [("/v1/predict", signature) for signature in signatures if signature.default]
    return [
        f"POST {path}: {complaint}"
        for path, signature in paths
        if (complaint := _unlike(_predicted(base + path, signature, caller), signature))
    ]


def wait_until_served(
    url: str,
    signatures: Sequence[Signature],
    *,
    seconds: float,
    pause: float = PAUSE_SECONDS,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Ask a service every `pause` seconds until there are no complaints.

    Raises DeploymentError with the last ones after `seconds`, or as soon as `ended` says that
    nothing will answer any more.
    """
    deadline = time.monotonic() + seconds
    while problems := _complaints(url, signatures):
        over = "has ended" if ended() else ""
        if time.monotonic() + pause > deadline:
            over = over or f"does not serve what it should after {seconds:g} seconds"
        if over:
            lines = "\n".join(f"- {complaint}" for complaint in problems)
            raise DeploymentError(f"{url} {over}:\n{lines}")
        time.sleep(pause)


def _complaints(url: str, signatures: Sequence[Signature]) -> list[str]:
    """Return them where not to be let in is one of them."""
    try:
        return complaints(url, signatures)
    except NotAdmittedError as error:
        return [str(error)]


def _predicted(url: str, signature: Signature, caller: Caller) -> Answer:
    """Ask for an example, some times where that is too often; raises NotAdmittedError."""
    for _ in range(TRIES):
        record = signature.example.record
        answer = exchange("POST", url, document=record, secrets=caller.headers)
        if answer.status != LIMITED:
            break
        time.sleep(PAUSE_SECONDS)
    kind = str(answer.member("type"))
    if answer.status in ADMISSION and (answer.status != 400 or kind.endswith(UNKNOWN_HOST)):
        raise NotAdmittedError(f"POST {url}: {_quoted(answer)}: {ADMISSION[answer.status]}")
    return answer


def _unready(answer: Answer, signatures: Sequence[Signature], *, others: bool) -> list[str]:
    served = answer.member("models")
    if answer.status != 200 or not isinstance(served, dict):
        return [f"GET /readyz: {_quoted(answer)}"]
    shipped = {signature.name: signature.version for signature in signatures}
    return [
        f"GET /readyz: {name}: served is {served.get(name, 'no version')}, "
        f"expected is {shipped.get(name, 'no such model')}"
        for name in sorted({*shipped, *(() if others else served)})
        if served.get(name) != shipped.get(name)
    ]


def _unlike(answer: Answer, signature: Signature) -> str:
    """Say how an answer differs from what the example got when it was exported."""
    if answer.status != 200:
        return _quoted(answer)
    version, scores = answer.member("version"), list(signature.example.scores)
    if version != signature.version:
        return f"version {version} answered, expected is {signature.version}"
    if not _agrees(answer, signature):
        return f"{_quoted(answer)}; the example of {signature.name} got {scores} when exported"
    return ""


def _agrees(answer: Answer, signature: Signature) -> bool:
    scores, name = signature.example.scores, signature.target.name
    if not signature.classes:
        return _close([answer.member(name)], scores)
    if not signature.probabilities:  # then the one score is the code of a class
        return bool(answer.member(name) == signature.classes[int(scores[0])])
    if signature.target.task == "binary":
        return _close([answer.member("probability")], scores[-1:])
    shares = answer.member("probabilities")  # in the order of the classes
    return isinstance(shares, dict) and _close(list(shares.values()), scores)


def _close(scores: Sequence[Any], expected: Sequence[float]) -> bool:
    return len(scores) == len(expected) and all(
        isinstance(one, int | float) and isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for one, other in zip(scores, expected, strict=True)
    )


def _quoted(answer: Answer) -> str:
    """Repeat an answer in few words."""
    if answer.status == NO_ANSWER:
        return f"no answer: {answer.words}"
    body = answer.member("detail") or json.dumps(answer.document, ensure_ascii=False)
    return f"{answer.status} {answer.words}: {body}"[:QUOTED_CHARACTERS]
