"""Repositories: what they are called, how they may change, who may use them (their policy text)."""
