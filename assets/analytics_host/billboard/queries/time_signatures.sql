-- Number of songs by time signature
SELECT timesignature, count(*) AS songs
FROM billboard
GROUP BY timesignature
ORDER BY timesignature
