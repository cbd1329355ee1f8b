"""Local backend: objects in a directory, trainer and endpoints as processes, the workflow in this process.

Internal: may change without notice.
"""
