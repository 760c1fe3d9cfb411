"""Updates of an alias: based on its revision, idempotent, and never over somebody else's change."""

from decimal import Decimal

import pytest

from lambdas.lambda_canary.alias import Alias, check_revision, read, roll_back, shifted, unmarked, update
from lambdas.lambda_canary.errors import AliasChangedError, InvalidInputError

from .fake_aws import ARN, FakeLambda, error

OLD = Alias(ARN, "live", "1")
QUARTER = Decimal("0.25")


def shift(client: FakeLambda, weight: str = "0.25", execution: str = "run", revision: str = "r0") -> str:
    return update(client, shifted(OLD, "2", Decimal(weight), execution), revision)


def test_shift_sets_weight_and_mark() -> None:
    client = FakeLambda()
    assert shift(client) == "r1"
    assert client.shares == {"1": 0.75, "2": 0.25}
    assert read(client, ARN, "live").description == "[rollout run: version 2 at 25 %]"


def test_last_shift_ends_on_the_new_version_alone_with_the_first_description() -> None:
    client = FakeLambda()
    client.change(Description="Production")
    alias = read(client, ARN, "live")
    revision = update(client, shifted(alias, "2", QUARTER, "run"), "r1")
    assert read(client, ARN, "live").description == "Production [rollout run: version 2 at 25 %]"
    update(client, shifted(alias, "2", Decimal(1), "run"), revision)
    assert client.shares == {"2": 1}
    assert client.alias
    assert client.alias["Description"] == "Production"


@pytest.mark.reliability(
    "lambda_canary",
    "Lost event or response",
    fault="The response to UpdateAlias is lost",
    expected="The retry succeeds, and the rollout goes on",
    observed="A retry with the old revision finds the alias as desired, and returns its revision",
)
@pytest.mark.parametrize("weight", ["0.25", "1"])
def test_retry_after_lost_response_succeeds(weight: str) -> None:
    client = FakeLambda()
    assert shift(client, weight) == shift(client, weight) == "r1"
    assert len(client.updates) == 1


@pytest.mark.reliability(
    "lambda_canary",
    "System-specific",
    fault="Somebody else changes the alias during a rollout",
    expected="The rollout stops, and leaves the alias alone",
    observed="UpdateAlias is rejected, and the alias stays as it was changed",
)
@pytest.mark.parametrize(
    "change",
    [
        {"FunctionVersion": "3", "RoutingConfig": {}},
        {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}}},
        {"RoutingConfig": {"AdditionalVersionWeights": {"3": 0.25}}},
    ],
)
def test_foreign_change_is_left_alone(change: dict[str, object]) -> None:
    client = FakeLambda()
    revision = shift(client)
    client.change(**change)
    foreign = dict(client.alias or {})
    with pytest.raises(AliasChangedError, match="Somebody else changed the alias"):
        shift(client, "0.5", revision=revision)
    result, _ = roll_back(client, ARN, "live", "run")
    assert result == "conflict"
    assert client.alias == foreign


@pytest.mark.reliability(
    "lambda_canary",
    "Duplicate",
    fault="Two rollouts of one alias start at once",
    expected="One goes on, and the other changes nothing",
    observed="The second shift is rejected, and its rollback does nothing",
)
def test_second_rollout_with_the_same_revision_is_rejected() -> None:
    client = FakeLambda()
    shift(client, execution="first")
    with pytest.raises(AliasChangedError):
        shift(client, execution="second")
    assert roll_back(client, ARN, "live", "second")[0] == "not shifted"
    assert client.shares == {"1": 0.75, "2": 0.25}


def test_rollback_ends_on_the_old_version_alone() -> None:
    client = FakeLambda()
    client.change(Description="Production")
    update(client, shifted(read(client, ARN, "live"), "2", QUARTER, "run"), "r1")
    result, alias = roll_back(client, ARN, "live", "run")
    assert (result, str(alias)) == ("rolled back", "alias live of shop: version 1")
    assert client.shares == {"1": 1}
    assert read(client, ARN, "live").description == "Production"
    assert roll_back(client, ARN, "live", "run")[0] == "not shifted"


@pytest.mark.reliability(
    "lambda_canary",
    "Delayed or out of order",
    fault="An execution is stopped while a shift is on its way",
    expected="The alias ends on the old version alone",
    observed="The rollback repeats after the shift, and a shift after the rollback is rejected",
)
def test_rollback_wins_against_a_shift_on_its_way() -> None:
    client = FakeLambda()
    revision = shift(client)
    client.before_update.append(
        lambda: client.change(
            RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}, Description="[rollout run: version 2 at 50 %]"
        )
    )
    assert roll_back(client, ARN, "live", "run")[0] == "rolled back"
    assert client.shares == {"1": 1}
    with pytest.raises(AliasChangedError):
        shift(client, "0.5", revision=revision)
    assert client.shares == {"1": 1}


@pytest.mark.reliability(
    "lambda_canary",
    "System-specific",
    fault="A stopped execution is redriven after its clean-up",
    expected="It changes nothing",
    observed="The alias has another revision, so the execution fails",
)
def test_redriven_execution_finds_another_revision() -> None:
    client = FakeLambda()
    revision = shift(client)
    roll_back(client, ARN, "live", "run")
    with pytest.raises(AliasChangedError):
        check_revision(client, ARN, "live", revision)
    with pytest.raises(AliasChangedError):
        shift(client, "0.5", revision=revision)
    assert client.shares == {"1": 1}


def test_alias_that_keeps_changing_is_reported() -> None:
    client = FakeLambda()
    shift(client)
    client.before_update += [lambda: client.change(Description=client.alias["Description"])] * 9  # type: ignore[index]
    with pytest.raises(AliasChangedError, match="changed 5 times"):
        roll_back(client, ARN, "live", "run")


def test_missing_alias_is_reported() -> None:
    with pytest.raises(InvalidInputError, match=f"alias prod of {ARN} does not exist"):
        read(FakeLambda(), ARN, "prod")


def test_other_errors_of_the_api_are_raised() -> None:
    client = FakeLambda()

    def throttle() -> None:
        raise error("TooManyRequestsException", "UpdateAlias")

    client.before_update.append(throttle)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        shift(client)


def test_description_that_leaves_no_space_is_rejected() -> None:
    """Lambda API reference, UpdateAlias: a description has at most 256 characters."""
    maximum = 256 - len(" [rollout run: version 2 at 25 %]")
    assert len(shifted(Alias(ARN, "live", "1", description="x" * maximum), "2", QUARTER, "run").description) == 256
    alias = Alias(ARN, "live", "1", description="x" * (maximum + 1))
    with pytest.raises(InvalidInputError, match=f"has {maximum + 1} characters; .+ leaves space for {maximum}$"):
        shifted(alias, "2", QUARTER, "run")


def test_mark_of_an_earlier_rollout_is_replaced() -> None:
    alias = Alias(ARN, "live", "1", description="Production [rollout earlier: version 2 at 5 %]")
    assert unmarked(alias.description) == "Production"
    assert shifted(alias, "2", QUARTER, "run").description == "Production [rollout run: version 2 at 25 %]"
