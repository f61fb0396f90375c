"""Histories of agents that go round in circles, and of agents that only look as if they did."""
