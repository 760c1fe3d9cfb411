"""AWS on this computer: MiniStack, and the parts of AWS that it lacks and the systems need.

`Sandbox` (`process`) starts it and stops it, `__main__` and `guide` are the commands `demo` and `up`, `emulator` is
the process that is started, with `web`, `json_api` and `faults`. Each other module stands in for one AWS service and
says in its docstring for what part of it. Those know nothing of the systems, but for H2O's port in `ec2.instances`.
"""

from .process import Sandbox, SandboxError

__all__ = ["Sandbox", "SandboxError"]
