"""Two models and prepared rows → which is better on the same test rows, with paired intervals."""

from dataclasses import dataclass

from treeline.artifact import Prediction
from treeline.artifact.pickled import predict
from treeline.contest.incumbents import check_enough, contested, predicted
from treeline.contest.matching import Answering, by_name, check_classes
from treeline.contract.features import Label, Target
from treeline.contract.signature import Verdict
from treeline.errors import ComparisonError
from treeline.evaluation.comparison import CANDIDATE, INCUMBENT, sentence
from treeline.files import digest
from treeline.library.artifacts import Artifact
from treeline.library.training import Evaluated, Prepared, Trained
from treeline.preparation.encoding import encoded, encoded_target
from treeline.records.comparison import ComparedWith

GIVEN = "as given"  # in the place of a commit
Contender = Artifact | Trained | Evaluated


@dataclass(frozen=True)
class Comparison:
    """The comparison of two models: metrics of both, the leads, and what follows from them."""

    name: str
    comparison: ComparedWith

    @property
    def verdict(self) -> Verdict:
        """Whether the candidate may take the place of the incumbent, and why."""
        return Verdict.model_validate(self.comparison["verdict"])

    @property
    def report(self) -> str:
        """The comparison in Markdown."""
        notes = self.comparison["notes"]
        return sentence(self.name, self.comparison, base=GIVEN, notes=notes)

    def _repr_markdown_(self) -> str:
        return self.report

    def __repr__(self) -> str:
        word = "may ship" if self.verdict.passed else "must not ship"
        return f"<Comparison {self.name}: {word}: {'; '.join(self.verdict.reasons)}>"


def compare(candidate: Contender, incumbent: Contender, prepared: Prepared) -> Comparison:
    """Set a candidate beside an incumbent on the test rows, by the declared `gate.may_drop_by`.

    As `treeline compare` does; that a model has not learnt from these rows is known of those that
    were trained on the same split, and is said to be unknown of others. Raises ComparisonError.
    """
    spec = prepared.declared.spec
    sides = {CANDIDATE: candidate, INCUMBENT: incumbent}
    answering = {side: _answering(each) for side, each in sides.items()}
    check_classes(answering[CANDIDATE], answering[INCUMBENT])
    notes = [note for side, each in sides.items() for note in _notes(side, each, prepared)]
    predictions = {side: _predicted(each, prepared) for side, each in sides.items()}
    predictions[INCUMBENT] = by_name(
        predictions[INCUMBENT], answering[INCUMBENT], answering[CANDIDATE]
    )
    classes = list(answering[CANDIDATE].classes) or None
    truth = encoded_target(prepared.test[spec.target.name], classes)
    check_enough(truth, classes, "of the rows that were given some are for the test")
    comparison = contested(spec, prepared.test, predictions, classes=classes)
    return Comparison(prepared.declared.name, {**comparison, "base": GIVEN, "notes": notes})


@dataclass(frozen=True)
class _Answers:
    """What a trained model answers, before it has a signature."""

    target: Target
    classes: tuple[Label, ...]


def _answering(contender: Contender) -> Answering:
    if isinstance(contender, Artifact):
        return contender.signature
    trained = contender.trained if isinstance(contender, Evaluated) else contender
    classes = tuple(trained.prepared.summary["target"].get("classes", ()))
    return _Answers(trained.declared.spec.target, classes)


def _predicted(contender: Contender, prepared: Prepared) -> Prediction:
    if isinstance(contender, Artifact):
        return predicted(contender.model, prepared.test)
    trained = contender.trained if isinstance(contender, Evaluated) else contender
    return predict(trained.estimator, encoded(prepared.test, trained.declared.spec.features))


def _notes(side: str, contender: Contender, prepared: Prepared) -> list[str]:
    """Say where it is not known that a model has not learnt from the test rows."""
    unknown = (
        f"what the {side} learnt from is not known to be apart from these rows; where test rows "
        "are among them, its figures are too good"
    )
    if isinstance(contender, Artifact):
        learnt, data = contender.signature.learnt, contender.signature.lineage.data
        if learnt is not None and learnt.refit == "all":
            raise ComparisonError(
                f"the {side} has learnt from the test rows of its split too (refit: all); compare "
                "what was trained, before its export"
            )
        same = data.get(prepared.paths.train.name) == digest(prepared.paths.train)
        return [] if same else [unknown]
    trained = contender.trained if isinstance(contender, Evaluated) else contender
    return [] if trained.prepared is prepared else [unknown]
