"""What is a person shown of a run: one page of HTML that needs nothing else, and reaches nothing."""
