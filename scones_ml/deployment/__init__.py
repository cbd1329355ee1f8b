"""Endpoints and transform jobs on SageMaker as plans: data in, requests out, no AWS call."""
