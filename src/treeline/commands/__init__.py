"""What a person runs beside the pipeline, and the workflows too: one step, one command."""
