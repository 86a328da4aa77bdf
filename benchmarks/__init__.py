"""Measurements; each prints its figures again."""
