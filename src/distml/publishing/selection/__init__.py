"""The choice of the winner of a run: its candidates, their evaluation and scores, and the quality gate."""
