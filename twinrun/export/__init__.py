"""A trained run as ONNX files, for places without torch."""
