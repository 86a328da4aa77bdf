"""The same run under perturbations."""
