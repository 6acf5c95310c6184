"""Settings and the OpenAPI document → with what is said of keys, rates and refusals."""

from collections.abc import Callable
from typing import Any

from fastapi.security import APIKeyHeader, HTTPBearer

from api.security.keyring import PREDICT
from api.security.load import ALWAYS
from api.settings import Settings

BEARER = HTTPBearer(
    scheme_name="bearer", description="An API key that the operator gave you", auto_error=False
)
HEADER = APIKeyHeader(
    name="X-API-Key", scheme_name="header", description="The same, elsewhere", auto_error=False
)
PREDICTS = ("/predict", "/predict/batch", "/infer")
EITHER = [{scheme.scheme_name: [PREDICT]} for scheme in (BEARER, HEADER)]
SCHEMES = {
    BEARER.scheme_name: BEARER.model.model_dump(mode="json", exclude_none=True, by_alias=True),
    HEADER.scheme_name: HEADER.model.model_dump(mode="json", exclude_none=True, by_alias=True),
}


def describe(
    document: dict[str, Any], settings: Settings, *, failures: Callable[[tuple[int, ...]], Any]
) -> None:
    """Add to every operation of a document what it needs, and how it may be refused."""
    document["components"].setdefault("securitySchemes", {}).update(SCHEMES)
    for path, item in document["paths"].items():
        for operation in item.values():
            predicts = path.endswith(PREDICTS)
            if predicts and not settings.predictions_open:
                operation["security"] = EITHER
            keyed = "security" in operation
            statuses = [401, 403] if keyed else []
            if keyed or (settings.requests_per_second and predicts):
                statuses.append(429)
            if path not in ALWAYS:
                statuses.append(503)
            known = failures(tuple(statuses)) | operation["responses"]
            operation["responses"] = dict(sorted(known.items()))
