"""What a person runs beside the pipeline: look at the declaration, change a source, compare."""
