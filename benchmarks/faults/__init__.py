"""Trainings that are disturbed, and whether they end as if they had not been."""
