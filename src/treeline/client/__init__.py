"""A client of the service: records, tables, truths and models over HTTP, with typed errors.

`messages` makes requests and reads answers and knows no connection; `synchronous` and
`asynchronous` carry them. Nothing of training is imported; pandas is where a frame is given.
"""
