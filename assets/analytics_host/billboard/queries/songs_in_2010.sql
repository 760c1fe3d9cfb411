-- Number of songs of 2010, in the Top 10 and not
SELECT top10, count(*) AS songs
FROM billboard
WHERE year = 2010
GROUP BY top10
ORDER BY top10
