"""Whole collections of real images, from `../shared`, pydicom and its test data: what the box says of each."""
