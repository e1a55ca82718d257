"""The factory: what a batch is, what each of its devices gets, and how that reaches the boards."""
