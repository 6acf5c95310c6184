"""A candidate with its options changed, those it has and those that are searched."""

from collections.abc import Callable
from typing import Any

from treeline.config.models import Candidate

Option = Callable[[str, Any], Any]


def with_options(candidate: Candidate, option: Option) -> Candidate:
    """Return a candidate whose values are what `option` makes of a name and a value.

    Ranges of a search stay: they hold no value of their own.
    """
    return candidate.model_copy(
        update={
            "options": {name: option(name, value) for name, value in candidate.options.items()},
            "search": {
                name: tuple(option(name, value) for value in values)
                if isinstance(values, tuple)
                else values
                for name, values in candidate.search.items()
            },
        }
    )
