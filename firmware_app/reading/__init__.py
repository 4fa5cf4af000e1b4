"""The reader: routing, the queue, worker processes and live examinations."""
