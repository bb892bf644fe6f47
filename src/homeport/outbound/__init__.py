"""The only room that opens connections to others: which addresses may be reached, and how much is read from them."""
