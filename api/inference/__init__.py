"""From what was sent to what the model says of it: records, tables, tensors, pictures."""
