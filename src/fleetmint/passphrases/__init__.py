"""Where the passphrases of the CA keys come from: a source, named by a short text, never the passphrase itself.

    file:DIRECTORY    files `root`, `issuing` and `bench`, readable by their owner only
    vault:DIRECTORY   the same files encrypted by Ansible Vault, with ansible-vault's own password
    shares:DIRECTORY  for the root alone: enough of its shares, as a ceremony printed them, one file each
    prompt:           typed at the terminal, which a module of Ansible never has
    fd:N              read from the open file descriptor N: lines `NAME PASSPHRASE`, or one line with the only
                      passphrase there is; Ansible hands no descriptor to its modules either

`root` opens the root's key, `issuing` those of the other CAs, `bench` the keys of batches (batch/sealed.py).

`file:` and `vault:` make a missing passphrase themselves: 160 random bits, since the encryption of the keys adds next
to nothing. The others only give back what was made before.
"""

from fleetmint.passphrases.opening import open_source, typed
from fleetmint.passphrases.source import BENCH, ISSUING, RANDOM_BYTES, ROOT, Given, Source, Stored

__all__ = ["BENCH", "ISSUING", "RANDOM_BYTES", "ROOT", "Given", "Source", "Stored", "open_source", "typed"]
