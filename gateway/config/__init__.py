"""Configuration: YAML file, environment and command line → frozen `Settings`, with file, line and key in every error.

Rule: everything that knows about the form of the file lives here; what the values mean to the gateway is in `core`.
"""

from gateway.config.certificates import Findings, check, problems
from gateway.config.error import ConfigError, ConfigErrors, Place
from gateway.config.read import Loaded, load, serve_backend
from gateway.config.schema import schema
from gateway.config.show import show
from gateway.config.source import Source

__all__ = [
    "ConfigError",
    "ConfigErrors",
    "Findings",
    "Loaded",
    "Place",
    "Source",
    "check",
    "load",
    "problems",
    "schema",
    "serve_backend",
    "show",
]
