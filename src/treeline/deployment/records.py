"""The branch `deployed`: a list of what was put in service, or failed: when, where, by which run.

A release says what may be served, a record what is. What is not in service yet is deployed by the
next run, and one that was in service is found again by the digest of its image.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from treeline.delivery import actions, artifacts, repository
from treeline.delivery.lists import JsonList
from treeline.delivery.releasing import (
    RELEASES,
    Entry,
    chosen,
    last,
    ships_anew,
    statement_of,
)
from treeline.errors import DeploymentError
from treeline.signing import IMAGE_STATEMENT_FILE, key_ids_in

DEPLOYMENTS = JsonList("deployed")
IN_SERVICE, FAILED = "in service", "failed"


@dataclass(frozen=True)
class Deployment:
    """An attempt to put the image of a release in service, and what came of it.

    `image` is its name in the registry with its digest, as far as that is known. `target` and `url`
    say where, `when` is UTC, `run` the address of the run. `release` is the entry of the list of
    releases that was the last one then: a person may have chosen another. `serving` is the image
    that is in service after the attempt, the same or a former one; None where none is known.
    """

    commit: str
    models: Mapping[str, str]
    passed: Mapping[str, str]
    image: str
    target: str
    url: str
    run: str
    when: str
    outcome: str
    reason: str
    release: str | None
    serving: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Deployment":
        """Read a document; what a later version added to it is passed over."""
        known: dict[str, Any] = {each.name: document.get(each.name) for each in fields(cls)}
        return cls(**known)

    @property
    def entry(self) -> Entry:
        """The release that it was of."""
        return Entry(self.commit, self.models, self.passed)

    @property
    def by_digest(self) -> bool:
        """Whether its image is named by what is in it."""
        return "@sha256:" in self.image


@dataclass(frozen=True)
class Decision:
    """What is to be deployed now, None for nothing, and why in words."""

    entry: Entry | None
    reason: str


def pending(version: str, *, unlisted: bool) -> Decision:
    """Decide by the lists alone what is to be deployed; raises DeliveryError.

    What a person names by `version` always is. Otherwise it is the last release, unless what is in
    service is the same, or was put there since by a person who wanted another.
    """
    if version:
        named = chosen(version, unlisted=unlisted)
        return Decision(named, f"{named.commit[:12]} was asked for.")
    if (entry := last()) is None:
        return Decision(None, "Nothing is released yet, so there is nothing to deploy.")
    served = in_service()
    if served and served.release == RELEASES.tip():
        return Decision(None, f"{served.commit[:12]} is in service: there is nothing to deploy.")
    if served and not ships_anew(entry, served.entry) and not _signed_anew(entry, served):
        return Decision(None, "What is in service holds it already: there is nothing to deploy.")
    reason = f"{entry.commit[:12]} is released and not in service yet."
    attempt = DEPLOYMENTS.last() or {}
    if attempt.get("outcome") == FAILED and attempt.get("release") == RELEASES.tip():
        reason += f" It failed at {attempt['when']} and is tried again: {attempt['reason']}"
    return Decision(entry, reason)


def in_service() -> Deployment | None:
    """Return the last deployment that went well, None before the first."""
    document = _last_in_service()
    return None if document is None else Deployment.of(document)


def _last_in_service() -> dict[str, Any] | None:
    return next(
        (each for each in DEPLOYMENTS.documents() if each.get("outcome") == IN_SERVICE), None
    )


def by_digest(entry: Entry) -> Deployment | None:
    """Return the last deployment of a release whose image is known by its digest.

    It may have failed: the image passed its check all the same, and is not built once more. One
    that holds the statement of a key that was changed since is.
    """
    for document in DEPLOYMENTS.documents():
        each = Deployment.of(document)
        if each.entry == entry and each.by_digest and not _signed_anew(entry, each):
            return each
    return None


def _signed_anew(entry: Entry, deployment: Deployment) -> bool:
    """Tell whether a release is signed by somebody who had not signed what was deployed then.

    The statement is in the image.
    """
    then = statement_of(deployment.entry, at=deployment.release)
    return not key_ids_in(statement_of(entry)) <= key_ids_in(then)


@dataclass(frozen=True)
class Place:
    """Where an image was put, or should have been: the kind of target, and where it answers."""

    target: str
    url: str


def record(
    entry: Entry, image: str, place: Place, *, failure: str = "", statement: str = ""
) -> Deployment:
    """Write down a deployment, the signed statement of what is in service beside it; push both.

    After one that failed, that is the statement of the former one: who follows the list sees its
    newest entry alone. Raises DeploymentError when git refuses it.
    """
    DEPLOYMENTS.refresh()
    former = _last_in_service() if failure else None
    if former is not None:
        statement = DEPLOYMENTS.beside(former, IMAGE_STATEMENT_FILE) or ""
    deployment = Deployment(
        commit=entry.commit,
        models=entry.models,
        passed=entry.passed,
        image=image,
        target=place.target,
        url=place.url,
        run=actions.run_page(),
        when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        outcome=FAILED if failure else IN_SERVICE,
        reason=failure,
        release=RELEASES.tip(),
        serving=former["image"] if former else None if failure else image,
    )
    message = f"{deployment.outcome.capitalize()}: {image} on {place.target or 'nothing'}"
    beside = {IMAGE_STATEMENT_FILE: statement} if statement else {}
    refspecs = [DEPLOYMENTS.entry(asdict(deployment), message=message, beside=beside)]
    if not failure:
        refspecs += artifacts.stage_tags(entry)
    if complaint := repository.push(*refspecs):
        raise DeploymentError(
            f"{image} is {deployment.outcome}, and the record could not be pushed to the branch "
            f"{DEPLOYMENTS.branch}, so that the next run tries again; the step needs "
            f"`contents: write`:\n{complaint}"
        )
    return deployment
