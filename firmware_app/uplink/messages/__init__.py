"""What may leave the box: the summary (an allow-list), its envelope (sealed and signed), the keys."""
