"""The viewer's pages, one blueprint each."""
