"""Work that outlives its request, as rows: whoever begins it may die, and another one finishes it."""
