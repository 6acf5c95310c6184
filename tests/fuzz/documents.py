"""JSON, changed where it means something: depth, size, numbers, names, duplicates, escapes."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.fuzz.cases import Mutator
from tests.fuzz.mutating import BLIND, LONGEST, insert_noise, overwrite_numeral

DEEP = 50_000
LONG = "ä" * 20_000
CONTROL = "line\u2028two\x85\r\nthree\x1b[31m\x00"


class Raw(str):
    """A piece of JSON that stands for itself."""


class Members(list[tuple[Any, Any]]):
    """An object as its members, which may have one name twice."""


VALUES: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: True,
    lambda: "",
    lambda: [],
    Members,
    lambda: LONG,
    lambda: CONTROL,
    lambda: '=HYPERLINK("http://x")',
    lambda: Raw("1e999"),
    lambda: Raw("-0"),
    lambda: Raw("NaN"),
    lambda: Raw("Infinity"),
    lambda: Raw("1" * 5_000),
    lambda: Raw("0." + "3" * 5_000),
    lambda: Raw("1e-5000"),
    lambda: Raw("9223372036854775808"),
    lambda: Raw("[" * DEEP + "]" * DEEP),
    lambda: Raw('{"a":' * DEEP + "1" + "}" * DEEP),
    lambda: Raw('"\\ud800"'),
    lambda: Raw('"\\u0000"'),
    lambda: [0] * 20_000,
    lambda: [[]] * 20_000,
    lambda: [Members()] * 20_000,
    lambda: Members((f"k{at}", at) for at in range(5_000)),
    lambda: "x" * 300_000,
)


def written(value: Any) -> str:
    """Return the JSON of a value with raw pieces and objects as members in it."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Members):
        return "{" + ",".join(f"{key_of(k)}:{written(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def key_of(key: Any) -> str:
    """Return the JSON of a name."""
    return str(key) if isinstance(key, Raw) else json.dumps(key)


def read(body: bytes) -> Any:
    """Return what a body says, None where it is no JSON; a document that is `null` is none too."""
    try:
        return json.loads(body, object_pairs_hook=Members)
    except (ValueError, RecursionError):
        return None


def places(value: Any) -> Iterator[tuple[Any, int]]:
    """Yield every list or object with a position in it."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, list):
            continue
        for at, item in enumerate(each[:50]):
            yield each, at
            waiting.append(item[1] if isinstance(each, Members) else item)


def changing(change: Callable[[Random, list[Any], int], None], name: str) -> Mutator:
    """Return a mutator that changes one place of a document; bytes that are no JSON it leaves."""

    def mutator(random: Random, body: bytes) -> bytes:
        document = read(body)
        if not (there := list(places(document))):
            return insert_noise(random, body)
        change(random, *random.choice(there))
        return written(document).encode("utf-8", "surrogatepass")

    mutator.__name__ = name
    return mutator


def _replace(random: Random, container: list[Any], at: int) -> None:
    value = random.choice(VALUES)()
    container[at] = (container[at][0], value) if isinstance(container, Members) else value


def _remove(random: Random, container: list[Any], at: int) -> None:
    del container[at]


def _repeat(random: Random, container: list[Any], at: int) -> None:
    item = container[at]
    long = len(written([item[1]] if isinstance(container, Members) else [item]))
    container[at:at] = [item] * min(random.choice((1, 10, 1_000, 20_000)), LONGEST // long)


def _rename(random: Random, container: list[Any], at: int) -> None:
    if isinstance(container, Members):
        name, value = container[at]
        escaped = Raw('"' + "".join(f"\\u{ord(char) % 65536:04x}" for char in str(name)) + '"')
        others = (escaped, "", LONG, CONTROL, str(name).upper(), f"{name} ", Raw('"\\ud800"'))
        container[at] = (random.choice(others), value)


def _crowd(random: Random, container: list[Any], at: int) -> None:
    count = random.choice((10, 1_000, 30_000))
    if isinstance(container, Members):
        container.extend((f"unknown {number}", number) for number in range(count))
    else:
        container.extend([random.choice((None, 1, "x", "1", 1.5, True))] * count)


def _swap(random: Random, container: list[Any], at: int) -> None:
    other = random.randrange(len(container))
    container[at], container[other] = container[other], container[at]


def _nest(random: Random, container: list[Any], at: int) -> None:
    if isinstance(container, Members):
        name, value = container[at]
        container[at] = (name, [value])
    else:
        container[at] = [container[at]]


def spaced(random: Random, body: bytes) -> bytes:
    """Put white space, or what looks like it, between the parts."""
    space = random.choice((b" ", b"\t", b"\r", b"\n", "\u00a0".encode(), b"\xef\xbb\xbf"))
    mark = random.choice((b",", b":", b"{", b"["))
    return body.replace(mark, mark + space * random.choice((1, 10, 1_000)), 50)


JSON_AWARE: tuple[Mutator, ...] = (
    changing(_replace, "replace"),
    changing(_replace, "replace"),
    changing(_remove, "remove"),
    changing(_repeat, "repeat_item"),
    changing(_rename, "rename"),
    changing(_crowd, "crowd"),
    changing(_swap, "swap"),
    changing(_nest, "nest"),
    spaced,
    overwrite_numeral,
)
JSON: tuple[Mutator, ...] = (*JSON_AWARE, *JSON_AWARE, *BLIND)
