"""What the commands do, apart from how they print it: classify, rejudge, explain, check, bench."""
