"""The tables of the prediction log, the same in SQLite and PostgreSQL.

Times are seconds since 1970; documents are JSON as it was sent (`JSON` to PostgreSQL).
"""

from sqlalchemy import Column, Double, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSON

from api.prediction_log.addresses import SCHEMA_TABLE

# In SQLite the type JSON would turn the document `1.0` into the number 1.
Document = Text().with_variant(JSON(none_as_null=True), "postgresql")

metadata = MetaData()

predictions = Table(
    "predictions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("time", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("features", Document, nullable=False),
    Column("prediction", Document, nullable=False),
    Column("probability", Double),
    Column("probabilities", Document),
    Column("latency_seconds", Double, nullable=False),
    Column("key", Text),  # of the caller; many predictions may have the same
    Index("predictions_time", "time", "id"),
    Index("predictions_model_time", "model", "time", "id"),
)
keyed = predictions.c.key.is_not(None)
predictions_key = Index(
    "predictions_key",
    predictions.c.model,
    predictions.c.key,
    sqlite_where=keyed,  # it costs nothing where nobody has keys
    postgresql_where=keyed,
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),  # of a prediction that may not be there yet
    Column("time", Double, nullable=False),
    Column("truth", Document, nullable=False),
)

feedback_by_key = Table(
    "feedback_by_key",
    metadata,
    Column("model", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # of predictions that may not be there yet
    Column("time", Double, nullable=False),
    Column("truth", Document, nullable=False),
)

schema = Table(SCHEMA_TABLE, metadata, Column("version", Integer, primary_key=True))
