"""What may give the answer away (`leaks`) → sentences, and whether the gate lets it pass. Pure."""

from collections.abc import Mapping
from typing import Any

from treeline.config.evaluation import Leaks

CLEAR_TWINS = 0.2  # of the test rows: a score is then that of a memory
WITH_TARGET = 0.95  # of those: rows that only look alike agree less often
BEYOND_CHANCE = 4  # times as many as independent features would give
WORTH_SAYING = 0.01  # of the test rows


def copied(twins: Mapping[str, Any]) -> bool:
    """Tell whether so many test rows have a twin, so far beyond chance, that rows were copied."""
    share = twins["share"]
    many = share >= CLEAR_TWINS and share >= BEYOND_CHANCE * twins["by_chance"]
    return bool(many and twins["same_target"] >= WITH_TARGET)


def sentences(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what is suspicious by the key of `gate.leaks` that decides on it, in words."""
    told: dict[str, list[str]] = {"twins": [], "telling": [], "ids": [], "clocks": [], "groups": []}
    if (twins := found["twins"])["share"] >= WORTH_SAYING:
        told["twins"] = [
            f"{twins['test_rows']:,} test rows ({twins['share']:.0%}) repeat the features of a "
            f"training row (chance: {twins['by_chance']:.0%}), {twins['same_target']:.0%} of them "
            "with its target"
        ]
    told["telling"] = [
        f"`{each['feature']}` alone tells {each['alone']:.1%} of what the target leaves open"
        for each in found["telling"]
    ]
    told["ids"] = [
        f"`{name}` differs in every row, like a number of rows; a model can only memorise it"
        for name in found["ids"]
    ]
    told["clocks"] = [
        f"`{each['feature']}` follows the order of rows and tells {each['random']:.0%} of the "
        f"target among random rows, {each['later']:.0%} of later ones: judge by later rows"
        for each in found["clocks"]
    ]
    told["groups"] = [
        f"rows with one `{each['column']}` ({each['groups']:,} values) are alike in their target "
        f"({each['alike']:.2f} of 1) and stand on both sides; declare "
        f"`split.group: {each['column']}`"
        for each in found["groups"]
    ]
    return told


def decide(found: Mapping[str, Any], declared: Leaks) -> tuple[list[str], list[str]]:
    """Return the reasons to refuse, and what else is to be said."""
    refused, said = [], []
    for key, texts in sentences(found).items():
        word = getattr(declared, key)
        clear = key != "twins" or copied(found["twins"])
        for text in texts:
            if word == "refuse" and clear:
                refused.append(
                    f"{text}; remove them, or declare `gate: {{leaks: {{{key}: allow}}}}`"
                )
            elif word == "allow":
                said.append(f"{text}, and `leaks: {{{key}: allow}}` lets it")
            else:
                said.append(f"beware: {text}")
    return refused, said
