"""The AWS backend; with ``handlers/`` the only importer of boto3 and Powertools.

Internal: may change without notice.
"""
