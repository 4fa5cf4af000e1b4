"""Many modules: one a conversation with a real peer."""
