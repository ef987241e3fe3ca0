"""Turns models of training frameworks into ONNX, inside an environment that has the framework."""
