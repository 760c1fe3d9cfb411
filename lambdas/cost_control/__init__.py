"""Keep a project within its budget: read its cost, then notify, deny, stop, and later undo exactly that."""
