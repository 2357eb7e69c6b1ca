"""How much memory processes ever had."""

from __future__ import annotations

from pathlib import Path

# More than any member may need, whatever happens: coordinators and workers are bounded by configured windows.
BOUND = 1 << 30


class Peaks:
    """The greatest resident memory by role (`VmHWM` of proc(5), which the kernel keeps), over all processes of it."""

    def __init__(self) -> None:
        self._peaks: dict[str, tuple[int, str]] = {}

    def look(self, role: str, name: str, pid: int) -> None:
        """To be done now and then, and before a process is killed: what ended can not be asked."""
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return
        # One that has ended and was not waited for has none.
        for line in lines:
            if line.startswith("VmHWM:"):
                found = (int(line.split()[1]) << 10, name)
                self._peaks[role] = max(found, self._peaks.get(role, (0, "")))

    @property
    def is_good(self) -> bool:
        """Whether nobody had more than the bound."""
        return all(peak <= BOUND for peak, _ in self._peaks.values())

    def __str__(self) -> str:
        """One line for people."""
        return ", ".join(f"{role} {peak >> 20} MiB ({name})" for role, (peak, name) in sorted(self._peaks.items()))
