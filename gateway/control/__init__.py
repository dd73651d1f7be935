"""The control process: what an operator, a browser or Prometheus calls. It owns the store and feeds the workers.

Stock aiohttp. A line belongs here if it changes, shows or watches services. What touches scoring bytes is in
`gateway.proxy`.
"""
