"""The native admin API under `/v1`. Every operation stands in the table of `operation`; handlers do one thing each."""
