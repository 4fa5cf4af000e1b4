"""Inference runtimes, one file each behind one small interface; each library is imported only when it is used."""
