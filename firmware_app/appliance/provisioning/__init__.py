"""How a box gets its identity: from a person, a page, a signed file or the hospital's answer over the line.

Many modules: each way of asking has its own, and each thing that is made (keys, label, authority) too.
"""
