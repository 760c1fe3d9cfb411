"""The sandbox: MiniStack, an AWS emulator, with additional features that the systems need.

- `command_line`: the commands `demo` and `up`.
- `process`: `Sandbox` starts and stops the emulator as a child process. `target` connects walkthroughs and tests to it.
- `emulator`: the child process, with what the services share.
- `ministack`: the only code that knows MiniStack's internal names.
- Each other module or package is an AWS service; its docstring lists what it implements and what it does not implement.
  Services contain nothing specific to a system, except H2O's port in `ec2.instances` and the CSV reader in
  `athena.engine`.
"""

from .process import Sandbox, SandboxError

__all__ = ["Sandbox", "SandboxError"]
