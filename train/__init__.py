"""gdtrain: from labelled pictures to the model file that gdwatch runs.

Read in the order of the commands. `prepare`: `sources`, `duplicates`, `prepare`, `pictures`.
`audit`: `features`, `suspects`, `audit`, `audit_page`. `fit`: `recipe`, `augment`, `learn`, `team`,
`checkpoint`, `history`, `fit`. `export`: `judge`, `measures`, `export`, `card`; `seed` for old
weights. `evaluate`, `compare`, `report` with `plots` and `page`. `planted` and `results` make the
tables of RESULTS.md.
"""
