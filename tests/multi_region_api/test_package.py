"""The package of the functions."""

from lambdas.multi_region_api.handler_settings import read_settings

from ..conftest import Assembly


def test_package_contains_the_settings_of_the_handlers(full_assembly: Assembly) -> None:
    (package,) = full_assembly.directory.glob("asset.*/multi_region_api")
    settings = read_settings(str(package / "settings.json"))
    assert settings["allowed_origins"] == ["https://www.example.com", "https://example.com"]
    assert settings["dependencies"] == [
        {"name": "orders", "table": "Orders", "partition_key": "order", "timeout_seconds": 1.0},
        {
            "name": "payments",
            "url": "https://payments.example.com/health",
            "partition_key": "id",
            "timeout_seconds": 0.5,
        },
    ]
