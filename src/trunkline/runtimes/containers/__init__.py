"""Where user code runs in containers of an image, through the API of Docker or Podman.

Knows nothing of versions, jobs and stores. The only room that imports the library `docker`, which
is an extra: it is imported when a container engine is first looked for, never before.
"""
