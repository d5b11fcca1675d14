"""What moves bytes: the only places where client sockets are opened."""
