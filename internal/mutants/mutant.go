package main

import "slices"

// mutant is one rule of the money path, removed.
type mutant struct {
	Name     string
	Rule     string // what the product does and the mutant does not, in one plain sentence
	Promises string // of docs/promises.md that it breaks: "P1 P5"
	Edits    []edit
	Schema   []statement // run after a database was migrated
}

// edit replaces a text that occurs exactly once in a file. Every MUTANT in the
// new text becomes a question: is this mutant on?
type edit struct{ File, Find, Replace string }

// statement is SQL for one engine, or for both when Engine is "".
type statement struct{ Engine, SQL string }

// before inserts code in front of a text that occurs exactly once.
func before(file, find, code string) edit { return edit{file, find, code + find} }

// unless makes a condition false while the mutant is on: find ends where
// "&& !MUTANT" fits.
func unless(file, find string) edit { return edit{file, find, find + " && !MUTANT"} }

// dropTrigger removes a guard of table purchase.
func dropTrigger(name string) []statement {
	return []statement{
		{"postgres", "DROP TRIGGER " + name + " ON purchase"},
		{"sqlite", "DROP TRIGGER " + name},
	}
}

// table lists every mutant.
func table() []mutant {
	return slices.Concat(planning(), permitting(), sending(), answering(), looking(), reading(), settling(), deciding(), jumping(), recovering(), grounding(), trusting(), changing(), correcting())
}
