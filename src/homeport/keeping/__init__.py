"""Whether what was promised to be kept is kept: inspection, verification, quarantine, backup and restore."""
