"""What a person runs beside the pipeline, and the workflows too; `treeline.cli` parses for them."""
