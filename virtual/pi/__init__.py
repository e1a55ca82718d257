"""The virtual Pi: a Debian container that boots systemd and is reached over real SSH, as a Raspberry Pi is."""
