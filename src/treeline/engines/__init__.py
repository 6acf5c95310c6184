"""Engines beside Python: what they need of the machine, and how they are started and stopped."""
