"""AWS on this computer: MiniStack, and the parts of AWS that it lacks and the systems need.

`Sandbox` starts it and stops it. Each other module here stands in for one AWS service, says
in its docstring for what part of it, and knows nothing of the systems.
"""

from .process import Sandbox, SandboxError

__all__ = ["Sandbox", "SandboxError"]
