"""Environment variables `API_…` → frozen settings, each limit with a safe default."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator can set; the variable is the name in capitals after `API_`."""

    model_config = SettingsConfigDict(env_prefix="API_", frozen=True)

    model_dir: Path = Path("model")
    """Folder whose subfolders hold the exported models; only read."""

    default_model: str | None = None
    """The model behind `/v1/predict`; unset: the one declared default, or else the only one."""

    allow_pickle: bool = False
    """Whether models that are pickles are loaded too. Loading a pickle runs code."""

    max_body_bytes: int = Field(default=1 << 20, gt=0)
    """The largest request body that is read; one record takes a few hundred bytes."""

    watch_seconds: float = Field(default=5, ge=0)
    """How often the models on disk are looked at for changes; 0: never."""
