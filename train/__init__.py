"""gdtrain: from labelled pictures to the model file that gdwatch runs.

Read in the order of the commands; `chain` is all of them that make the shipped models. `prepare`:
`sources`, `duplicates`, `prepare`, `pictures`. `audit`: `features`, `faceless`, `suspects`,
`audit`, `audit_page`. `detect`: `weights`, `sessions`, `boxes`, `detect`. `locate`: `scenes`,
`stock`, `locator`. `crop`: `faces`. `teach`: `embed`, `teach`, `teacher`. `fit`: `recipe`,
`augment`, `learn`, `team`, `checkpoint`, `history`, `fit`; `dlib` for published weights. `export`:
`judge`, `measures`, `export`, `card`; `seed` for old weights. `calibrate`: `photographs`,
`ranges`, `calibrate`. `evaluate`, `compare`, `report` with `plots` and `page`. `planted` and
`results` make the tables of RESULTS.md.
"""
