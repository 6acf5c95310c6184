"""Collected rows → checked, filled, split and encoded rows."""

PREPARERS = {  # where rows are prepared: `split.engine` → a function from spec and paths to summary
    "local": "treeline.preparation.in_parts:prepare_files",
    "spark": "treeline.preparation.on_spark:prepare_files",
}
