"""SQL source: a table or query of PostgreSQL, MySQL, MariaDB or SQLite → tables.

tables      one collection, tried again when what failed may pass
growth      what is already here + what is new, where the rows have a watermark
statement   the declaration → the SQL that asks for it
dialects    what differs between databases, once
bulk        that SQL → batches of rows, fast
file        the same for SQLite where columns hold what they were not declared to hold
types       batches → batches of the same few types, whatever the database
spool       batches → a file on disk → tables of a fixed number of rows
database    the URL and the password → answers to small questions
"""
