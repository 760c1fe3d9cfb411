"""Read the cost of the month from Budgets, the only source for every decision."""

from decimal import Decimal
from typing import TYPE_CHECKING

from .plan import Spend

if TYPE_CHECKING:
    from types_boto3_budgets import BudgetsClient


class BudgetError(Exception):
    """Budgets returned no usable limit, or a cost that it does not update."""


def read_spend(budgets: "BudgetsClient", account: str, name: str) -> Spend:
    """Return the cost and the limit of a budget.

    Raises:
        BudgetError: the budget has no fixed limit above zero, for example because it adjusts itself, or is unhealthy.
    """
    budget = budgets.describe_budget(AccountId=account, BudgetName=name)["Budget"]
    limit = budget.get("BudgetLimit")
    if not limit or Decimal(limit["Amount"]) <= 0:
        raise BudgetError(f"budget {name} has no limit above zero: {limit}")
    health = budget.get("HealthStatus", {})
    if health.get("Status") == "UNHEALTHY":
        raise BudgetError(f"Budgets does not update budget {name}: {health.get('StatusReason', 'no reason given')}")
    calculated = budget.get("CalculatedSpend")
    actual = Decimal(calculated["ActualSpend"]["Amount"]) if calculated else Decimal(0)
    forecast = calculated.get("ForecastedSpend") if calculated else None
    return Spend(actual, Decimal(forecast["Amount"]) if forecast else None, Decimal(limit["Amount"]), limit["Unit"])
