"""RoI pooling, and the products of what it gives."""
