"""DICOMweb (PS3.18): images in by STOW-RS, through the same door as every other way; results out by QIDO- and WADO-RS.

It listens on a Unix socket that the TLS front alone may open, and the front lets nobody there without a client
certificate of `[dicomweb] client_ca`.  So a request that comes here is an authenticated one.
"""
