"""Secrets: named values that are stored sealed, as AWS Secrets Manager keeps them."""
