"""What differs between two contents: text, CSV, JSON and Parquet. Pure but for reading them.

Knows nothing of trees, repos or commits: a content is a size, the names of its chunks and a way to
read it. Contents are compared in bounded memory; what both begin and end with is stepped over.
"""
