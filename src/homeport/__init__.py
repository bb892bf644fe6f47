"""Homeport: a container registry that people run themselves and use exactly as they use Amazon ECR."""

__version__ = "0.1.0"
