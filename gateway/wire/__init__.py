"""Level 1, pure: the bytes that clients and providers exchange, read and written. No sockets, no clocks."""
