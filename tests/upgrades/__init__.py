"""States of earlier versions, as text, that today's code must open."""
