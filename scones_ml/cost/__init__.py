"""Cost estimates for AWS: dated list prices, a workload, designs. They need no call and no account.

Internal: may change without notice.
"""
