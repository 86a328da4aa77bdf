"""The engine as a wheel: how it is written, and where it was taken from."""
