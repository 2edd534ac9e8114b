"""Rolling a version out by degrees: a service's record of shares and shadows, its commands and their decisions."""
