"""The tables of the prediction log, the same in SQLite and PostgreSQL.

Times are seconds since 1970; documents are JSON as it was sent (`JSON` to PostgreSQL).
"""

from sqlalchemy import Column, Double, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSON

SCHEMA_VERSION = 1  # raise it with every change; what reads an older one must then upgrade it

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
    Index("predictions_time", "time", "id"),
    Index("predictions_model_time", "model", "time", "id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),  # of a prediction that may not be there yet
    Column("time", Double, nullable=False),
    Column("truth", Document, nullable=False),
)

schema = Table("prediction_log_schema", metadata, Column("version", Integer, primary_key=True))
