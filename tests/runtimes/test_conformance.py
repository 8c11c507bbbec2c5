"""The process runtime keeps the promises of a slot, in every isolation."""

from runtime_suite import *  # noqa: F403
