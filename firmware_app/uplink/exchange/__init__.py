"""How a case revision gets to the hospital, step by step.

1. Outbox: the transaction that closes the revision adds a row to `outbox` in clinical.db (`Outbox.put`).
2. Outgoing: the reader's `Relay` copies the row to `outgoing` in exchange.db, under the next number of the stream.
3. Published: the uplink's publisher seals it and sends it by MQTT, again and again until the receipt comes.
4. Receipt: the hospital signs which numbers and bytes it has.  The uplink puts that into `incoming`; the relay checks
   it and deletes the row in both databases.

`KnownStream` remembers in clinical.db which stream that is; `ReceiptClock` learns the time from a receipt.
"""
