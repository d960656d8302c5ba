"""What may be paid out: the person's own figures, and the rules for everybody."""
