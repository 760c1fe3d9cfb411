"""Budgets: budgets, and their notifications and subscribers."""

from .names import need

budgets = need("services.budgets._budgets", "the cost of budgets")
notifications = need("services.budgets._notification_store", "notifications of budgets")
operations = need("services.budgets._DISPATCH", "validation, and budgets of templates")
find_notification = need(
    "services.budgets._find_notification_entry", "topics of notifications", "budget_name notification"
)
