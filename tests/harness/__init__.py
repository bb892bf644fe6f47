"""What tests stand on: a real server in its own process, and the programs that talk to it."""
