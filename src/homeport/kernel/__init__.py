"""Words that every room uses: names, digests, errors, limits, time. Imports nothing of ours."""
