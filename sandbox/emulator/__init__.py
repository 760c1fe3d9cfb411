"""The emulator process: ``python -m sandbox.emulator`` serves AWS's API, and the web endpoints of deployed resources.

`authentication` guards the API, `json_protocol` adds services to it, and `fault_injection` lets its calls fail on
demand. `web` serves the web endpoints. `asgi` has what both ports need.
"""
