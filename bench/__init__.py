"""The measurements that the README quotes, one command each, with the peers in the same run."""
