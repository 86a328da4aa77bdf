"""Twinrun's engine: trains image-classification competitions to the same bits every time."""
