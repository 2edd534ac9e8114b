"""Web pages of our servers: how their files are sent to browsers, and the files that all pages share."""
