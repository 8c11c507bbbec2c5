"""The words of Trunkline: frozen values and the parsing of names.

Knows nothing of files, databases, processes or the network, and imports only the standard library.
"""
