"""The application as a module attribute: the only module of ours whose import acts.

It serves the commands that people and platforms already type: `uvicorn api.main:app`,
`gunicorn api.main:app`. Everything else calls `api.app.create_app` with settings of its own.
"""

from api.app import create_app
from api.settings import Settings
from api.telemetry.logs import configure

settings = Settings()
configure(settings)
app = create_app(settings)
