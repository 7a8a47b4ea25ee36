// Package deploytest holds what deploy/ ships to its word: every expression of
// the board and the alerts is asked of metrics that topupd has, the alerts fire
// when they should, the manifests are what Kubernetes expects, the unit is what
// systemd expects.
//
// It is a module of its own, so that the parsers of Prometheus and Kubernetes
// stay out of the daemon's dependencies, and it imports nothing of the daemon:
// Metrics is written down here a second time on purpose, so that a renamed metric
// breaks a test and not a dashboard. A program that a test needs and that is
// missing fails the test; nothing is skipped.
package deploytest
