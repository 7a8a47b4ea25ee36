// Package e2e holds the tests of the real binary: built once, run as a process
// against the emulated providers over HTTP and a real database. The emulator's
// own books are the judge of every test.
package e2e
