"""The product of two checkouts side by side, in one run on one machine: what a change has made faster or slower."""
