"""ONNX models: what is read of them and how they are brought to what a toolkit takes."""
