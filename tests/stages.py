"""The stages of one model, run by hand in a scratch project."""

from tests.conftest import Project
from treeline.contract.signature import Signature
from treeline.stages.collect import collect
from treeline.stages.digest import write_code, write_inputs
from treeline.stages.evaluate import evaluate
from treeline.stages.export import export
from treeline.stages.gate import gate
from treeline.stages.prepare import prepare
from treeline.stages.train import train


def made(project: Project) -> Signature:
    """Make the model of a project, and return its signature."""
    write_code()
    write_inputs()
    for stage in (collect, prepare, train, evaluate, gate, export):
        stage(project.spec, project.paths)
    return Signature.read(project.paths.signature)
