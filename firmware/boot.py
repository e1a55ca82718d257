# Runs before main.py. Collecting early keeps the heap of a small board in one piece for the TLS handshakes.

import gc

gc.threshold(16 * 1024)
