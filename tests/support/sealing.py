"""What systemd does on a gateway for its service: a process for each connection, with a host key of its own."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path


class Machine:
    """A machine that seals: the real systemd-creds, whose host key is `secret`."""

    def __init__(self, secret: Path) -> None:
        self.secret = secret

    def replace_host_key(self) -> None:
        """Make it another machine."""
        self.secret.unlink()

    @contextlib.contextmanager
    def listen(self, path: Path) -> Iterator[None]:
        """Answer at the socket `path`, as fleetmint-key.socket does."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            thread = threading.Thread(target=self._serve, args=(listener,))
            thread.start()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # closing it alone would not wake the thread
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join()
                path.unlink()

    def _serve(self, listener: socket.socket) -> None:
        environment = os.environ | {"SYSTEMD_CREDENTIAL_SECRET": str(self.secret)}
        command = [sys.executable, "-m", "fleetmint.gateway.ca_key.sealer"]
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                handle = connection.fileno()
                subprocess.run(command, stdin=handle, stdout=handle, env=environment, check=True)
