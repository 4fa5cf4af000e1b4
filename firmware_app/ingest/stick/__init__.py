"""Images from a USB stick: probed, mounted, searched, copied through the door, and confirmed by a receipt.

Two processes do it.  The mounter (root, no network) asks blkid for the file system, mounts it read-only and checks the
mount options in the kernel's table.  The importer (its own user, no network, a read-only view of the stick) copies.
Neither trusts the contents: every file is found by searching, not by the lists on the stick.
"""
