"""SageMaker jobs and endpoints as data: requests and plans, without boto3, torch or calls to AWS.

Internal: may change without notice.
"""
