"""Collected rows → checked, filled, split and encoded rows."""
