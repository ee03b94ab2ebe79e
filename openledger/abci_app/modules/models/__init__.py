"""Models, the sessions in which their answers are paid for, and the epochs in which answers are settled."""
