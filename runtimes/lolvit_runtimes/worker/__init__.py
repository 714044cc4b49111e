"""Child processes: the framing of messages (`wire`), the parent's side (`process`), the child's
side (`server`), and a runtime in a child (`isolated`; `runtime` is the program that it starts)."""
