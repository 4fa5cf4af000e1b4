"""Model packs: manifest, signature, installation, trial, and the tasks and runtimes that they use."""
