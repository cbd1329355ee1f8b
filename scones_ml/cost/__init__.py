"""What the work costs on AWS: dated list prices, a workload, designs, estimates. No call, no account.

Internal: may change without notice.
"""
