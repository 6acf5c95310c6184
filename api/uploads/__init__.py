"""Models that callers bring: audited, tried apart, kept in a store of their own, served by all."""
