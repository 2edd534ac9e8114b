"""A Consul agent for one machine, in memory: registrations and key-value writes in, Consul's own JSON out.

It speaks Consul's HTTP API (as of 1.8.7) with Consul's shapes, status codes, index semantics and blocking queries:
agent, catalog, health, key-value store, sessions, transactions, events and coordinates. What it does not have
answers as a real agent does that has it switched off. It runs TTL, HTTP and TCP checks. It listens on loopback
addresses only, has no access control and keeps nothing on disk; it is no member of any cluster. It bounds
connections, requests that wait, and answers that are not read.

A request passes `server` (bytes) -> `api` (translates) -> `agent` (registrations, checks, maintenance) -> `state`
(catalogue, keys, sessions, and the index that every change raises). Of the rest of the project this package imports
`registry.runtime` only.
"""
