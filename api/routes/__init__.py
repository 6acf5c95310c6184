"""Routes, one module per noun: each turns a request into one call and its result into an answer."""
