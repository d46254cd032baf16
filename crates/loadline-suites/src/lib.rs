//! Tests made from a seed: generators and their exact scorers. Pure.
