"""Keep a project within its budget: ask Budgets for the cost, then notify, deny, stop, and later undo exactly that."""
