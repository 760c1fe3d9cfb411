-- The song with the fastest tempo
SELECT artistname, songtitle, year, tempo
FROM billboard
ORDER BY tempo DESC, songtitle
LIMIT 1
