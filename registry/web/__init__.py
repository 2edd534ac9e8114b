"""HTTP that lookup service and proxy share: an application's server, refusals, targets, bodies, request ids."""
