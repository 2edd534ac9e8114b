"""How an image model's input is fed and how its output is read, found out from the model where nobody says it."""
