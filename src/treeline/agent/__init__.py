"""A registry and a machine at home → the newest release in service there, or the former one."""
