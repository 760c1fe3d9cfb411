-- All songs with all columns, for training and testing
SELECT *
FROM billboard
