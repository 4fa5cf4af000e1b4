"""The uplink to the hospital: messages, sealing, the outbox, and the connection to the broker."""
