"""What goes into the thesis? Tables, figures, sentences."""
