"""What attackers do, a module for each mechanism that they go for; `benchmarks.attack.catalogue` lists the kinds."""
