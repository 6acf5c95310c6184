"""A format, a seed and a number → one request, the same each time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

Build = Callable[[], bytes]
Mutator = Callable[[Random, bytes], bytes]
MOST_MUTATIONS = 4
LONGEST_MUTATED = 1 << 17  # longer bodies of the table are sent as they are
OF_THE_VARIANTS = 0.1  # how often a mutant comes with other headers
OF_THE_TABLE = 0.25  # how often a mutant descends from a hostile body instead of a good one


@dataclass(frozen=True)
class Request:
    """What is sent: the head's parts, and the body; `raw` is a whole request as bytes instead."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


def unchanged(request: Request) -> Request:
    """Return a request as it is."""
    return request


@dataclass(frozen=True)
class Sample:
    """A body by name, made when it is needed, and the request that it is sent with."""

    name: str
    request: Request
    build: Build
    refused: bool = False
    """Whether it says what is not so, and any answer but a problem would be a guess or a leak."""

    def whole(self) -> Request:
        """Return the request with its body."""
        body = self.build()
        if self.request.raw is not None:
            return replace(self.request, raw=body)
        return self.with_body(body)

    def with_body(self, body: bytes) -> Request:
        """Return the request with another body."""
        return replace(self.request, body=body)


@dataclass(frozen=True)
class Format:
    """Bodies of one kind: good ones, hostile ones by hand, and how either is changed."""

    name: str
    seeds: Sequence[Sample]
    hostile: Sequence[Sample]
    mutators: Sequence[Mutator]
    variants: Sequence[Mapping[str, str]] = ()
    """Headers that a mutant may come with in the place of its own."""
    sent: Callable[[Request], Request] = unchanged
    """What is done to a request at last, when its body changes no more."""


@dataclass(frozen=True)
class Case:
    """One request of a run; `format`, `seed` and `number` make it again."""

    format: str
    seed: int
    number: int
    name: str
    request: Request
    refused: bool = False

    @property
    def payload(self) -> bytes:
        """What tells this case from others: the body, or the whole of a raw request."""
        return self.request.body if self.request.raw is None else self.request.raw


SHORT: dict[int, tuple[Sample, bytes]] = {}  # bodies that are short enough to be changed


def built(sample: Sample) -> bytes:
    """Return the body of a sample, nothing where it is too long to be changed."""
    if id(sample) not in SHORT:
        body = sample.build()
        SHORT[id(sample)] = (sample, body if len(body) <= LONGEST_MUTATED else b"")
    return SHORT[id(sample)][1]


def case_of(kind: Format, *, seed: int, number: int) -> Case:
    """Return a case: first the table of hostile bodies in its order, then mutants by chance."""
    if number < len(kind.hostile):
        sample = kind.hostile[number]
        request = kind.sent(sample.whole())
        return Case(kind.name, seed, number, sample.name, request, sample.refused)
    random = Random(f"{kind.name} {seed} {number}")
    sample = random.choice(kind.seeds)
    if random.random() < OF_THE_TABLE and len(built(other := random.choice(kind.hostile))):
        sample = other
    body, applied = built(sample), []
    for _ in range(random.randint(1, MOST_MUTATIONS)):
        mutator = random.choice(kind.mutators)
        applied.append(mutator.__name__)
        body = mutator(random, body)
        if len(body) > LONGEST_MUTATED:
            break
    request = replace(sample, build=lambda: body).whole()
    if kind.variants and random.random() < OF_THE_VARIANTS:
        request = replace(request, headers={**request.headers, **random.choice(kind.variants)})
    name = " + ".join([sample.name, *applied])
    return Case(kind.name, seed, number, name, kind.sent(request))
