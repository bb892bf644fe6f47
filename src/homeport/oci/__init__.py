"""The OCI Distribution front: /v2/. Parses, authenticates, names the operation, translates errors; decides nothing."""
