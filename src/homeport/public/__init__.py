"""ECR Public: which account an alias names, and what a registry and its repositories tell about themselves."""
