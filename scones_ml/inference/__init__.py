"""Serving: the ONNX classifier, and a server with SageMaker's container contract.

Internal: may change without notice.
"""
