"""The hospital's keys and certificates, and which are revoked."""
