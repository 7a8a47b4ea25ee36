//go:build race

package main

// monthDefault: SQLite is ten times slower under the race detector.
const monthDefault = 250
