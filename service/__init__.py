"""The service: posted images in, answers that a person can read out."""
