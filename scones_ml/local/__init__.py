"""The local backend: a directory as object store, trainer and endpoint as processes, the workflow in this process.

Internal: may change without notice.
"""
