"""The command line: one file per noun. Reads options, calls services, prints; `--json` prints for programs."""
