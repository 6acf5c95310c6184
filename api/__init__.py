"""The service: artifacts below `model/` → predictions over HTTP."""
