"""A version, a model or chance → an old model made again, and whether it is the same."""

import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from treeline.config import Layout, read_params
from treeline.contract.signature import Signature
from treeline.contract.texts import is_slug
from treeline.delivery import repository
from treeline.delivery.releasing import RELEASES
from treeline.errors import ProvenanceError
from treeline.provenance.origins import model_with, origin_of
from treeline.provenance.replaying import Replay, replay


def replay_version(
    named: str,
    *,
    by_chance: bool = False,
    model: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Replay | None:
    """Make a version again: the one that is named, the last one of a named model, or any released.

    `model` says which is meant where several have the version. Returns None where any released one
    is wanted, and nothing is released. Raises ProvenanceError where nothing is known of it, or a
    stage of its commit fails.
    """
    chosen = _any_released() if by_chance else _version(named, model)
    if chosen is None:
        return None
    origin = origin_of(*chosen)
    if origin.commit is None or origin.signature is None:
        raise ProvenanceError("; ".join(origin.missing))
    return replay(origin.signature, origin.commit.id, on_stage=on_stage)


def _any_released() -> tuple[str, str] | None:
    released = {
        (model, version)
        for document in RELEASES.documents()
        for model, version in document["models"].items()
    }
    return random.SystemRandom().choice(sorted(released)) if released else None


def _version(named: str, model: str) -> tuple[str, str]:
    """Return model and version of a name: the version in HEAD, where it is that of a model."""
    if is_slug(named) and named in read_params().models:
        signature = Layout(named).signature
        text = repository.shown("HEAD", signature)
        if text is None:
            raise ProvenanceError(f"{named}: HEAD has no {signature}; train and commit it first")
        return named, Signature.parse(text, place=str(signature)).version
    return model or model_with(named), named


def to_text(done: Replay) -> str:
    """Say in words what came of it."""
    lines = [f"{done.model} {done.version} of {done.commit[:12]}: {done.outcome}"]
    lines += [f"  {each}" for each in done.notes]
    lines += [f"  {name} {then} is {now} here" for name, (then, now) in done.libraries.items()]
    lines += [f"  {path} differs" for path in done.changed]
    lines += [f"  {name} was {then:g} and is {now:g}" for name, (then, now) in done.metrics.items()]
    if done.rows and done.changed:
        lines.append(
            f"  of {done.rows:,} test rows {done.labels:,} get another label; scores differ by "
            f"{done.difference:.3g} at most"
        )
    return "\n".join(lines)


def to_dict(done: Replay) -> dict[str, Any]:
    """Return it as plain data."""
    return asdict(done) | {"outcome": done.outcome, "good": done.good}
