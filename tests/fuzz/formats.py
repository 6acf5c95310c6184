"""Every format there is, by name."""

from collections.abc import Callable

from tests.fuzz import arrow_tables, csv_tables, forms, graphs, heads, pictures, records, tensors
from tests.fuzz.cases import Format

FORMATS: dict[str, Callable[[], Format]] = {
    "record": records.of_record,
    "values": tensors.of_values,
    "csv": csv_tables.of_csv,
    "json-records": records.of_json_records,
    "json-columns": records.of_json_columns,
    "json-lines": records.of_json_lines,
    "arrow": arrow_tables.of_arrow,
    "parquet": arrow_tables.of_parquet,
    "multipart": forms.of_forms,
    "pictures": pictures.of_pictures,
    "oip-json": tensors.of_oip_json,
    "oip-binary": tensors.of_oip_binary,
    "onnx": graphs.of_onnx,
    "documents": records.of_documents,
    "heads": heads.of_heads,
}
