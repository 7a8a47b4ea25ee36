// Command topupd watches prepaid credit balances at billing providers and buys
// credits for customers who run low, exactly once.
//
// This package is the edge of the process: flags, exit codes, output and the
// one place where the parts are joined. It decides nothing about money. Of its
// commands only run (and demo, against emulated providers) sends a purchase;
// the reading commands open the ledger read-only beside a running daemon, and
// none of them may ever write to a provider.
package main
