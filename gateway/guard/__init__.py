"""Loops and runaways: what repeats itself or spends too quickly, found without a clock or a store."""
