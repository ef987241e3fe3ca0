"""The Darknet bridge: a .cfg and its .weights become ONNX, the detector's decoding included."""
