"""Scoregate: a self-hosted front door for model services. `docs/architecture.md` says where a line of code lives."""

__version__ = "0.1.0"
