"""`make bench`: what onehop costs and how fast it is, beside what is possible at all.

Enters: nothing but this machine. Leaves: one line of JSON for each measurement, a table at the
end, and the same under bench/results. Nothing imports it.

Start reading at `__main__`, then `row` (what a measurement is) and `world` (what it runs in).
"""
