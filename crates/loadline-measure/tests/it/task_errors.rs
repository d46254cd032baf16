//! What is said of task files and data that are wrong.
