-- Janet Jackson's songs in the Top 10
SELECT year, songtitle
FROM billboard
WHERE lower(artistname) = 'janet jackson' AND top10 = 1
ORDER BY year, songtitle
