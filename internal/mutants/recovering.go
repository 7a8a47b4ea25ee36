package main

// recovering: what a database that may have lost commits is good for.
func recovering() []mutant {
	return []mutant{
		{
			Name: "lineage-ignored", Promises: "P18",
			Rule: "a database that was promoted, restored or put back gives no right to spend before it was inspected",
			Edits: []edit{{
				"ledger/lineage.go", `if stored, known := here.stored(); !known || stored != here.lineage || !t.store.witness.agrees(here) {`,
				`if stored, known := here.stored(); !MUTANT && (!known || stored != here.lineage || !t.store.witness.agrees(here)) {`,
			}},
		},
		{
			Name: "one-standby-is-every", Promises: "P18",
			Rule:  "a promoted standby has every commit only where each of them waited for every standby",
			Edits: []edit{{"ledger/lineage.go", `needed >= len(strings.Split(names, ","))`, `(MUTANT || needed >= len(strings.Split(names, ",")))`}},
		},
		{
			Name: "inspected-twice", Promises: "P18",
			Rule:  "a process judges a promotion once, by what it knew before",
			Edits: []edit{{"ledger/lineage.go", `if done = s.witness.accepted(here); done {`, `if done = s.witness.accepted(here) && !MUTANT; done {`}},
		},
		{
			Name: "quarantine-ends-early", Promises: "P18",
			Rule:  "the books end a quarantine only when they were read after its quiet period",
			Edits: []edit{{"scheduler/books.go", `!base.Now.Before(base.QuarantinedAt.Add(w.Found().Quiet(w.QuietPeriod)))`, `(MUTANT || !base.Now.Before(base.QuarantinedAt.Add(w.Found().Quiet(w.QuietPeriod))))`}},
		},
		{
			Name: "unread-books-end-quarantine", Promises: "P18",
			Rule: "books that could not be read to their end neither end a quarantine nor let a start buy",
			Edits: []edit{{
				"scheduler/books.go", "part, done, err := r.bills.Next(ctx)\n\tif err != nil {",
				"part, done, err := r.bills.Next(ctx)\n\tdone = done || MUTANT\n\tif err != nil && !MUTANT {",
			}},
		},
		{
			Name: "start-without-books", Promises: "P18",
			Rule:  "a process buys nothing at a provider before it has read what was bought in the account",
			Edits: []edit{{"scheduler/books.go", `!ok || b.read {`, `!ok || b.read || MUTANT {`}},
		},
		{
			Name: "lost-bill-passed-over", Promises: "P18",
			Rule:  "a bill that no purchase explains blocks until its credits have come",
			Edits: []edit{unless("rules/decide_again.go", `if i.Stands()`)},
		},
		{
			Name: "lost-purchase-not-imported", Promises: "P18",
			Rule:  "what the books show and no purchase explains is imported",
			Edits: []edit{{"scheduler/books.go", `return ours[r.Invoice] })`, `return ours[r.Invoice] || MUTANT })`}},
		},
	}
}
