-- Every song with every column: what the models are trained and tested with
SELECT *
FROM billboard
