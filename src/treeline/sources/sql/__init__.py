"""SQL source: a table or query of PostgreSQL, MySQL, MariaDB or SQLite → tables.

tables      one collection, tried again when what failed may pass; a query → batches of rows
growth      what is already here + what is new, where the rows have a watermark; a file on disk
statement   the declaration → the SQL that asks for it, and the few types of columns there are
database    the URL and the password → answers to small questions; what differs between databases
"""
