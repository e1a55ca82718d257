"""Before the board: what a batch is, what each of its devices gets, and where that is kept."""
