"""The application as a module attribute: the only module of ours whose import acts.

It serves the commands that people and platforms already type: `uvicorn api.main:app`,
`gunicorn api.main:app`. Everything else calls `api.app.create_app` with settings of its own.
"""

from api.app import create_app
from api.prediction_log.addresses import check_database
from api.private import close_to_others, keep_private
from api.sandbox.limits import hide
from api.settings import Settings
from api.telemetry.logs import configure

hide()  # keys and passwords are in the environment of this process
settings = Settings()
configure(settings)
keep_private()
close_to_others(settings.state_dir)
check_database(settings)
app = create_app(settings)
