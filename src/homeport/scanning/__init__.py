"""Image scans: what may be scanned, and what is known about an image."""
