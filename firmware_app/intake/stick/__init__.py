"""Images from a stick that anyone may bring: looked at, mounted, searched, copied through the one door, receipted.

Two processes do it.  The mounter (root, no network) asks blkid what the stick is, mounts it read-only and holds the
kernel's own table against what was asked for.  The importer (its own user, no network, a read-only view of the stick)
copies.  Neither trusts anything that stands on the stick: it is searched, not believed.
"""
