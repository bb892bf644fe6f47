"""Images: manifests stored byte for byte, their tags, and what they refer to."""
