"""What a training has used, left out and learned -> report.json and one HTML page."""
