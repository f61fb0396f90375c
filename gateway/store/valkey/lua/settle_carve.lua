-- Gives back what a closed run's carve no longer needs, now that what is pending in the run is there again.
--
-- ARGV: 2 the carve's reservation. OK.

pass_on(ARGV[2], '0')
return answer('OK')
