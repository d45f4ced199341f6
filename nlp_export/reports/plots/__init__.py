"""Which picture shows it? One file for each kind of plot; each gives SVG and its table."""
