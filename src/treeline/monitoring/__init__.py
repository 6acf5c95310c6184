"""The log of a service, and what was promised → what has changed, and whether it is an alarm.

Counts, tests and metrics are pure; `logs` and `services` read, `pictures` and the command write.
"""
