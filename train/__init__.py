"""gdtrain: from labelled pictures to the model file that gdwatch runs.

Read in the order of the commands: `sources` and `prepare`; `recipe`, `augment` and `fit`;
`measures` and `evaluate`; `card` and `export`.
"""
