"""The same services, called by the clock."""
