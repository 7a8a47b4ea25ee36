package main

// outputFlags choose how a reading command writes.
type outputFlags struct {
	Output string `short:"o" enum:"table,json,jsonl,csv" default:"table" help:"How to write it: ${enum}."`
}
