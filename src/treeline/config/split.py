"""What a declaration says of the split: `models.<name>.split`, which rows are for the test."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from treeline.contract.features import Closed

# A number (true is none), or a time as ISO 8601 writes it.
Moment = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)] | str


class Split(Closed):
    """Which rows are kept for the test: a fraction, never two rows of one group on both sides.

    By the rule `stable` a row keeps its side for ever: a seeded hash decides, of the columns that
    `key` names, of the group, or without both of the features. By the rule `drawn` all rows are
    drawn anew when one is added, and classes keep their shares. With `after` the rows beyond a
    value of one column are for the test. With `engine: spark` rows are checked by Spark, so that
    they need not fit into memory.
    """

    engine: Literal["local", "spark"] = "local"
    rule: Literal["stable", "drawn"] = "stable"
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    group: str | None = None
    key: tuple[str, ...] = ()
    after: Annotated[dict[str, Moment], Field(min_length=1, max_length=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("key", mode="before")
    @classmethod
    def _is_a_list(cls, key: Any) -> Any:
        return (key,) if isinstance(key, str) else key

    @field_validator("after")
    @classmethod
    def _is_a_moment(cls, after: dict[str, Moment] | None) -> dict[str, Moment] | None:
        for name, moment in (after or {}).items():
            try:
                datetime.fromisoformat(moment if isinstance(moment, str) else "2026-01-31")
            except ValueError:
                raise ValueError(
                    f"`{name}` is {moment!r}; give a number, or a time in quotes like '2026-01-31'"
                ) from None
        return after

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if len(set(self.key)) != len(self.key):
            raise ValueError("`key` names one column twice")
        if self.key and self.group is not None:
            raise ValueError("`group` decides the side of a row already; leave out `key`")
        if self.key and self.rule == "drawn":
            raise ValueError("`rule: drawn` looks at no key; leave out `key`, or `rule`")
        if self.after is not None:
            beside = {"group": self.group, "key": self.key, "rule": self.rule == "drawn"}
            beside["test"] = "test" in self.model_fields_set
            if named := [name for name, declared in beside.items() if declared]:
                raise ValueError(
                    f"`after` decides the side of a row already; leave out `{named[0]}`"
                )
        return self
