"""Sans-IO venue adapters: what to connect to and send, how to route, decode and sequence."""
