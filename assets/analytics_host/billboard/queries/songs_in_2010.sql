-- How many songs of 2010 there are, by whether they were in the Top 10
SELECT top10, count(*) AS songs
FROM billboard
WHERE year = 2010
GROUP BY top10
ORDER BY top10
