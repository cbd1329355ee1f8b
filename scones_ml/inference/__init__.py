"""Serving: the ONNX classifier, and a server that keeps SageMaker's container contract.

Internal: may change without notice.
"""
