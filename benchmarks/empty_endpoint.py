"""What the service is measured against: FastAPI, the same body by pydantic, a constant answer."""

from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

Tree = Literal["Acer saccharum", "Prunus serotina", "Quercus alba", "Quercus rubra"]
Soil = Literal[Tree, "Acer rubrum", "Populus grandidentata", "Sterile"]
Percent = Annotated[float, Field(ge=0, le=100)]


class Seedling(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    Species: Tree
    Light_ISF: Annotated[float, Field(ge=0, le=1)]
    Soil: Soil
    Sterile: Literal["Non-Sterile", "Sterile"]
    Conspecific: Literal["Conspecific", "Heterospecific", "Sterilized"]
    AMF: Percent
    EMF: Percent | None = 0.0
    Phenolics: Annotated[float, Field(ge=-20, le=50)]
    Lignin: Percent
    NSC: Percent


class Prediction(BaseModel):
    Event: float
    probability: float
    id: str
    model: str
    version: str


CONSTANT = Prediction(
    Event=1.0, probability=0.98, id="0" * 32, model="tree-survival", version="0" * 12
)


def create_app() -> FastAPI:
    app = FastAPI()

    @app.post("/v1/predict")
    async def predict(seedling: Seedling) -> Prediction:
        return CONSTANT

    return app
