"""What measuring fan-out takes: servers to compare, a crowd of sockets in a process of its own, and events to send them."""
