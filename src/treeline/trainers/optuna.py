"""Optuna: settings proposed one after the other, each with what the earlier ones were worth."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from tqdm import tqdm

from treeline.config.models import Span
from treeline.trainers import Trial
from treeline.trainers.pipeline import grid
from treeline.trainers.searching import SearchContext, listed

MOST_AT_RANDOM = 10  # trials before the sampler models anything; of few trials a third


def proposed(context: SearchContext) -> list[Trial]:
    """Judge what the tree-structured Parzen estimator proposes (Bergstra et al. 2011), seeded.

    Lists that have no more combinations than trials are tried whole, as a random search does.
    A setting proposed again is not judged again, so that there may be fewer trials than declared.
    """
    whole = grid(context.candidate)
    if whole is not None and len(whole) <= context.search.trials:
        return listed(context)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell each trial by itself
    at_random = max(1, min(MOST_AT_RANDOM, context.search.trials // 3))
    sampler = TPESampler(seed=context.search.seed, n_startup_trials=at_random)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = {name: _distribution(values) for name, values in context.candidate.search.items()}
    judged: dict[str, Trial] = {}
    for _ in tqdm(range(context.search.trials), desc=context.name, disable=None, leave=False):
        proposal = study.ask(space)
        setting = _setting(proposal.params, context.candidate.search)
        known = judged.get(repr(setting))
        trial = known or context.trials([setting])[0]
        judged[repr(setting)] = trial
        merit = context.merit(trial)
        if isfinite(merit):
            study.tell(proposal, merit)
        else:
            study.tell(proposal, state=TrialState.FAIL)
    return list(judged.values())


def _distribution(values: Sequence[Any] | Span) -> BaseDistribution:
    """Return what a hyperparameter is proposed from; of a list, the position in it."""
    if not isinstance(values, Span):
        return CategoricalDistribution(range(len(values)))
    if values.integer:
        return IntDistribution(*values.whole, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _setting(
    params: Mapping[str, Any], search: Mapping[str, Sequence[Any] | Span]
) -> dict[str, Any]:
    return {
        name: params[name] if isinstance(values, Span) else values[params[name]]
        for name, values in search.items()
    }
