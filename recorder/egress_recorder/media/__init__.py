"""Owns time and pictures: the timeline (pure), the canvas, the encoders and the thread that runs them."""
