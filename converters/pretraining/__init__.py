"""A start for networks without published weights, learnt from films without labels; its settings are `plain.toml`."""
