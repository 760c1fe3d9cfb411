"""The sandbox: MiniStack, an AWS emulator, with additional features that the systems need.

`process.Sandbox` starts and stops the emulator, `emulator` is the child process, `target` connects walkthroughs and
tests to it, `__main__` has the commands `demo` and `up`, and `usage` prints calls to copy. `web`, `authentication`,
`json_protocol` and `fault_injection` are shared by the services. Each other module or package implements one AWS
service; its docstring lists what it implements and what it does not. The services contain nothing specific to a
system, except H2O's port in `ec2.instances`.
"""

from .process import Sandbox, SandboxError

__all__ = ["Sandbox", "SandboxError"]
