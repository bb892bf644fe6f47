"""A registry as a whole: its documents, settings and creation templates."""
