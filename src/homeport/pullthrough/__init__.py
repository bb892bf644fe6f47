"""Pull-through cache rules: which upstream registry stands behind which prefix."""
