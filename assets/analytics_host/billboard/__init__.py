"""Query the Billboard songs with Athena, and predict Top 10 hits with H2O.

    Athena --> songs: validate, split --> models: GLM 1-3, GBM, deep learning --> metrics, plots, report

Used by the Python notebook, the walkthrough and the tests. Based on "Predict Billboard Top 10 Hits Using
RStudio, H2O and Amazon Athena", AWS Big Data Blog, 2017, which has the published metrics.
"""

TABLE, PARQUET_TABLE = "billboard", "billboard_parquet"  # Glue tables that the stack creates
