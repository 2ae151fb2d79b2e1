"""Element by element: dropout."""
