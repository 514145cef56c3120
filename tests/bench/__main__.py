"""`python -m tests.bench [NAME …]`: measure, beside a peer in the same run, and print ratios.

These figures are read by people, never asserted: machines are shared and noisy. Each module
here with a `run()` gives rows of (what, rate per second, note); rows whose note begins with
"peer" are what the rows of the same module are compared with.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent


def main() -> int:
    there = sorted(m.name for m in pkgutil.iter_modules([str(HERE)]) if not m.name.startswith("_"))
    names = sys.argv[1:] or there
    if {"-h", "--help"} & set(names):
        print(f"{__doc__}\nThere are {', '.join(there)}.")
        return 0
    if unknown := [name for name in names if name not in there]:
        print(f"no bench {unknown[0]!r}; there are {', '.join(there)}", file=sys.stderr)
        return 2
    console = Console()
    for name in names:
        module = importlib.import_module(f"tests.bench.{name}")
        if not hasattr(module, "run"):
            continue
        rows = module.run()
        peer = next((rate for _, rate, note in rows if note.startswith("peer")), None)
        table = Table("what", "per second", "× peer", "note", title=name, title_justify="left")
        for what, rate, note in rows:
            # A share of a core is no rate: it has decimals, and nothing to be compared with.
            ratio = f"{rate / peer:.1f}" if peer and not note.startswith("%") else ""
            table.add_row(what, f"{rate:,.0f}" if rate >= 100 else f"{rate:.2f}", ratio, note)
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
