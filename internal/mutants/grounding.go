package main

// grounding: what the file under a SQLite ledger must be before anything is
// bought on it.
func grounding() []mutant {
	return []mutant{
		{
			Name: "second-name-accepted", Promises: "P1",
			Rule:  "a ledger has one name: a daemon under each would charge twice",
			Edits: []edit{unless("ledger/ground.go", `ok && stat.Nlink != 1`)},
		},
		{
			Name: "file-not-locked", Promises: "P1",
			Rule: "the file itself is locked, whatever it is called",
			Edits: []edit{
				unless("ledger/ground.go", `if files.locked(id)`),
				unless("ledger/ground.go", `if err := lockFile(f); err != nil`),
			},
		},
		{
			Name: "any-filesystem-trusted", Promises: "P1",
			Rule:  "a ledger lies where locks keep a second daemon out",
			Edits: []edit{{"ledger/ground.go", `case trusted:`, `case trusted || MUTANT:`}},
		},
		{
			Name: "file-away-unnoticed", Promises: "P1 P2",
			Rule:  "what is bought is written down where the next start finds it: the path leads to the file",
			Edits: []edit{{"ledger/examine.go", `		return s.ground.stands()`, "\t\tif MUTANT {\n\t\t\treturn nil\n\t\t}\n\t\treturn s.ground.stands()"}},
		},
		{
			Name: "bought-unexamined", Promises: "P1",
			Rule:  "nothing is bought before the whole file was examined",
			Edits: []edit{unless("ledger/examine.go", `case wanted && !done`)},
		},
		{
			Name: "indexes-not-examined", Promises: "P1",
			Rule:  "the indexes are examined with the rows: one of them keeps a target from a second open purchase",
			Edits: []edit{{"ledger/examine.go", `if slices.Contains(quickly, table)`, `if MUTANT || slices.Contains(quickly, table)`}},
		},
		{
			Name: "old-log-meets-the-copy", Promises: "P1 P18",
			Rule:  "the log of the file that a restore replaces never meets the new one",
			Edits: []edit{{"ledger/replace.go", `[]string{"", "-wal", "-journal"}`, `map[bool][]string{false: {"", "-wal", "-journal"}, true: {""}}[MUTANT]`}},
		},
		{
			Name: "restored-without-books", Promises: "P18",
			Rule:  "a restored ledger buys nothing before the books were read",
			Edits: []edit{{"ledger/restore.go", `quarantine: true, why: why`, `quarantine: !MUTANT, why: why`}},
		},
		{
			Name: "restored-unpaused", Promises: "P18",
			Rule:  "a restored ledger buys nothing before a person has resumed it",
			Edits: []edit{before("ledger/restore.go", `	_, err = s.Pause(ctx,`, "\tif MUTANT {\n\t\treturn providers, nil\n\t}\n")},
		},
	}
}
