"""Answers of a model that is served → what each feature added to them, within a time.

A graph of git is read and explained in a process beside the worker. Of a model that runs elsewhere
nothing is known but its answers: it is asked for more of them, a run at a time.
"""

import asyncio

from api.errors import RunTooLongError
from api.formats.explained import Explained
from api.formats.rows import Job
from api.inference.batch_pool import BESIDE, Pools, sampled
from api.inference.explanations.explainer import check_explained
from api.inference.parts import explain_here
from api.inference.record import Predictor
from api.settings import Settings
from treeline.contract.encoding import Matrix
from treeline.signing.trust import TrustedModels


class Explaining:
    """Explains answers to single records."""

    def __init__(self, settings: Settings, pools: Pools, trust: TrustedModels | None) -> None:
        """Have the processes of the pools do it where they have the model."""
        self._settings, self._pools, self._trust = settings, pools, trust

    def check(self, predictor: Predictor) -> None:
        """Raise InvalidInputError where nothing can be explained."""
        check_explained(predictor.signature, most_rows=self._settings.max_explained_rows)

    async def explained(self, predictor: Predictor, matrix: Matrix) -> Explained:
        """Explain the answers to rows, float32 of shape (n_rows, n_features).

        Raises RunTooLongError, UnusableAnswerError and what a pool raises.
        """
        seconds = self._settings.explain_seconds
        try:
            made = await self._beside(predictor, matrix, seconds)
            if made is None:
                async with asyncio.timeout(seconds):
                    made = await sampled(predictor, matrix)
        except (RunTooLongError, TimeoutError) as error:
            raise RunTooLongError(
                f"The explanation took more than the {seconds:g} seconds that API_EXPLAIN_SECONDS "
                "admits; ask without it, or raise it."
            ) from error
        return made.checked(predictor.signature)

    async def _beside(
        self, predictor: Predictor, matrix: Matrix, seconds: float
    ) -> Explained | None:
        """Return what a process beside the worker makes of it; None where it has no such model."""
        signature = predictor.signature
        if predictor.apart or signature.runtime not in BESIDE:
            return None
        job = Job(
            model_dir=self._settings.served_dir.absolute(),
            admitted=frozenset({signature.runtime}),  # it is served, so it is admitted
            trust=self._trust,
            name=signature.name,
            version=signature.version,
            batch_id="",
            given="json",
            wanted="json",
            most_rows=len(matrix),
            memory_bytes=self._settings.request_memory_bytes,
            explaining=True,
        )
        made = await self._pools.readers.run(explain_here, job, matrix, deadline_seconds=seconds)
        return made if isinstance(made, Explained) else None
