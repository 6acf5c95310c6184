"""What the pipeline found, written for people: the model card and the report of a training."""
