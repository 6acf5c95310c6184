"""The stages of the pipeline, each: read files → call one pure thing → write files."""
