//go:build !race

package main

// monthDefault is how many purchases the month has when nobody says.
const monthDefault = 1000
