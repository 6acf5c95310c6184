"""Here nothing of a run in CI is in the environment."""

from tests.person import of_a_person

__all__ = ["of_a_person"]
