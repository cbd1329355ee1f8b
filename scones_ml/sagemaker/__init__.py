"""SageMaker's jobs and endpoints as data: requests and plans, without boto3, torch or an AWS call.

Internal: may change without notice.
"""
