"""Lifecycle policies: which images a repository lets go, and when."""
