"""gdtrain: from labelled photographs to the model files that gdwatch runs.

The rooms follow the commands: `data` (prepare), `audit` (audit), `detection` (detect, locate,
crop), `teachers` (teach), `fitting` (fit), `export` (export, calibrate, import-seed) and
`evaluation` (evaluate, compare, report). `published` reads other people's weights, `commands` has
the options and the words, `chain` all the commands that train the shipped models.
"""
