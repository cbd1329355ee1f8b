"""AWS backend; only it and ``handlers/`` import boto3 and Powertools.

Internal: may change without notice.
"""
