"""The sandbox: MiniStack, an AWS emulator, extended by the features that the systems need.

- `command_line`: the commands `demo` and `up`.
- `process`: `Sandbox` starts and stops the emulator as a child process. `target` connects walkthroughs and tests to it.
- `emulator`: the child process, with what the services share.
- `ministack`: the only code that knows MiniStack's insides.
- Each other module or package is an AWS service; its docstring lists what it implements and what it leaves out.
  Services know nothing of the systems, except for H2O's port in `ec2.instances`.
"""

from .process import Sandbox, SandboxError

__all__ = ["Sandbox", "SandboxError"]
