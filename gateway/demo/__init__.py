"""`scoregate demo`: a real model server with the gateway before it, to try and to test against.

A line belongs here if only the demo needs it; what is started is the product as anyone would start it.
"""

from gateway.demo.launch import run

__all__ = ["run"]
