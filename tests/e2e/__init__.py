"""Everything together: the client, its backends, its transports, against the emulator."""
