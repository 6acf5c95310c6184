"""Training jobs: a script, or a table with a declaration, becomes a model.

These routes are there where API_JOBS is set.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.http.load import Load
from api.jobs.desk import JobDesk
from api.routes.deps import DeskDep, Owner, services_of
from api.routes.models import NAME
from api.routes.openapi import failures
from treeline.jobs.documents import Kind, State
from treeline.jobs.exits import Reason
from treeline.jobs.spool import Job

JobId = Annotated[
    str, Path(description="The `id` of a job", pattern="^[0-9a-f]{32}$", max_length=32)
]
BINARY = {"type": "string", "format": "binary"}
FORM: dict[str, Any] = {
    "type": "object",
    "required": ["model"],
    "properties": {
        "model": {"type": "string", "description": "What the model is to be called"} | NAME,
        "script": BINARY
        | {
            "description": "Python, run in a container: it reads the file that DATASET names and "
            "writes an ONNX model to the path in OUTPUT"
        },
        "declaration": BINARY
        | {"description": "YAML: the block of a model as in params.yaml, without its source"},
        "dataset": BINARY
        | {"description": "The table, CSV or Parquet; beside a script, any file, or none"},
        "requirements": BINARY
        | {"description": "What the script imports, a line each as `numpy>=2`: it must be there"},
        "network": {"type": "string", "enum": ["true", "false"]},
    },
}
BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}
}
LOG: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What it has written, as UTF-8",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}
LOG.update(failures((401, 403, 404, 422, 429, 503)).items())

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


class JobCard(BaseModel):
    """One training job."""

    id: str
    model: str = Field(description="What its model is to be called")
    kind: Kind
    state: State
    reason: Reason | None = Field(default=None, description="Why it failed, in one word")
    detail: str = Field(default="", description="The same for people")
    version: str | None = Field(default=None, description="Of the model that is served")
    network: bool
    cancelling: bool = Field(description="Whether somebody wished its end")
    received: datetime
    started: datetime | None = None
    ended: datetime | None = None
    image: str | None = Field(default=None, description="What it ran in")
    files: dict[str, str] = Field(description="SHA-256 of what was sent")

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return what is told of a job."""
        order, run, ending = job.order, job.run, job.ending
        return cls(
            **order.model_dump(exclude={"owner"}),
            state=job.state,
            reason=ending.reason if ending is not None else None,
            detail=ending.detail if ending is not None else "",
            version=ending.version if ending is not None else None,
            ended=ending.ended if ending is not None else None,
            cancelling=job.cancelling and job.place != "ended",
            started=run.started if run is not None else None,
            image=run.image if run is not None else None,
        )


class JobList(BaseModel):
    """The jobs of a key, the newest first."""

    jobs: list[JobCard]
    runner_seen: datetime | None = Field(
        description="When a runner was last there; null: never, and what is queued waits for one"
    )


class FollowedLog(Response):
    """The log of a job, as a stream among those of large bodies."""

    media_type = "text/plain"

    def __init__(self, desk: JobDesk, job: Job, load: Load, *, follow: bool) -> None:
        super().__init__()
        self._desk, self._job, self._load, self._follow = desk, job, load, follow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raises BodiesFullError."""
        with self._load.streaming():
            log = self._desk.log(self._job, follow=self._follow)
            await StreamingResponse(log, media_type="text/plain")(scope, receive, send)


@router.post(
    "",
    summary="Order a training",
    status_code=HTTPStatus.ACCEPTED,
    responses=dict(failures((400, 401, 403, 408, 409, 413, 415, 422, 429, 503)).items()),
    openapi_extra=BODY,
)
async def order_job(request: Request, owner: Owner, desk: DeskDep, response: Response) -> JobCard:
    """A script with whatever it reads, or a table with the block of a declaration: no code at all.

    It waits until a runner takes it, runs in a container of its own without a network, and what it
    makes is audited as an upload is, and served under its name.
    """
    manager = services_of(request).upload_manager
    job = await desk.submit(request, owner, manager.check_name)
    response.headers["Location"] = f"{router.prefix}/{job.order.id}"
    return JobCard.of(job)


@router.get("", summary="List the jobs", responses=dict(failures((401, 403, 429, 503)).items()))
async def list_jobs(owner: Owner, desk: DeskDep) -> JobList:
    """Those that keys of the same name have ordered, and when a runner was last there."""
    jobs = await desk.jobs(owner)
    return JobList(jobs=[JobCard.of(job) for job in jobs], runner_seen=desk.runner_seen())


@router.get(
    "/{id}", summary="Read a job", responses=dict(failures((401, 403, 404, 422, 429, 503)).items())
)
async def read_job(id: JobId, owner: Owner, desk: DeskDep) -> JobCard:
    """What it is at, and why it has ended as it did."""
    return JobCard.of(await desk.find(id, owner))


@router.get("/{id}/log", summary="Read the log of a job", response_class=Response, responses=LOG)
async def read_log(
    request: Request,
    id: JobId,
    owner: Owner,
    desk: DeskDep,
    follow: Annotated[
        bool, Query(description="Go on until it has run, ten minutes at most")
    ] = False,
) -> Response:
    """What it has written so far, or all that it writes."""
    job = await desk.find(id, owner)
    return FollowedLog(desk, job, services_of(request).load, follow=follow)


@router.delete(
    "/{id}",
    summary="Cancel a job",
    status_code=HTTPStatus.ACCEPTED,
    responses=dict(failures((401, 403, 404, 409, 422, 429, 503)).items()),
)
async def cancel_job(id: JobId, owner: Owner, desk: DeskDep) -> JobCard:
    """One that waits ends at once, one that runs within some seconds."""
    return JobCard.of(await desk.cancel(id, owner))
