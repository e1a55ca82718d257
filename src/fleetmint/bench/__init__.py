"""At the board: identities of a batch into boards on ports, and what becomes of each."""
