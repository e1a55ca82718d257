"""Whom devices trust: the trust bundle and the release keys, which are not X.509."""
