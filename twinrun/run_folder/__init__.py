"""The files of a run: where each lies, its shape, its digest."""
