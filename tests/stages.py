"""The stages of one model, run by hand in a scratch project."""

from functools import cache

from tests.conftest import Project
from treeline.config.layout import CODE
from treeline.contract.signature import Signature
from treeline.files import write_bytes
from treeline.stages.collect import collect
from treeline.stages.digest import write_code, write_inputs
from treeline.stages.evaluate import evaluate
from treeline.stages.export import export
from treeline.stages.gate import gate
from treeline.stages.prepare import prepare
from treeline.stages.train import train


def made(project: Project) -> Signature:
    """Make the model of a project, and return its signature."""
    follow_code()
    write_inputs()
    for stage in (collect, prepare, train, evaluate, gate, export):
        stage(project.spec, project.paths)
    return Signature.read(project.paths.signature)


def follow_code() -> None:
    """Do what the stage `code` does; the package is read once, for it stays as it is."""
    write_bytes(CODE, _code())


@cache
def _code() -> bytes:
    write_code()
    return CODE.read_bytes()
