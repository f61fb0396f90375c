"""Policies at work: what this process knows becomes the router's view, its decision the request's route."""
