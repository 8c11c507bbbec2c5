"""One module for each kind of preview; `console.preview` says what is in one.

The last one, `binary`, suits every file.
"""
