"""Who is asking, and may they: identities, signatures, tokens, policies, and the one table of operations."""
