"""The certificate authority: keys, names, profiles, issuing and revoking."""
