"""Everything that Trunkline can do, as typed signatures without bodies.

The embedded engine and the remote client both implement these protocols; the HTTP routes, the
OpenAPI document and the remote client's calls are derived from the declarations. An operation that
gives an iterator may raise its errors when the first item is asked for. Knows nothing of how an
operation is carried out.
"""
