"""What would change, as a value: model, diff, guards, file format; pure."""
