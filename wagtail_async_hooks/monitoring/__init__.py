"""What is known of tasks, in the words and numbers that people and tools read."""
