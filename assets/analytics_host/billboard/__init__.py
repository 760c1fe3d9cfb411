"""The Billboard songs: queried with Athena, and their Top 10 hits predicted with H2O.

    Athena --> songs: checks, split --> models: GLM 1-3, GBM, deep learning --> figures, plots, report

The notebooks, the walkthrough and the tests run this. Idea and published figures: "Run RStudio
and H2O on EC2 next to Athena and predict Billboard Top 10 hits", AWS Big Data Blog, 2017.
"""

TABLE, PARQUET_TABLE = "billboard", "billboard_parquet"  # Glue tables, which the stack creates
