"""The line to the hospital: the outbox to the broker, and receipts back. What may leave, and its seal: `sealed/`."""
