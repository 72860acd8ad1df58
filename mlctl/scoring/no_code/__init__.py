"""Models that are served without a scoring script: MLflow models, ONNX files, what joblib or pickle wrote.

A loader has init() and run() as a script has, and describes the bodies that it takes. What it imports is loaded in
init(), out of the model's environment.
"""
