"""What a sample is made of: terraces, what covers them, and what lies on them."""
