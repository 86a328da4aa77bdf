"""competition/hooks.py: the competitor's own code, digested, imported, called."""
