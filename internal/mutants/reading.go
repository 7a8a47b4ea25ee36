package main

// reading: what an answer to a read proves.
func reading() []mutant {
	return []mutant{
		{
			Name: "cache-is-fresh", Promises: "P5 P13",
			Rule:  "what a cache on the way kept is as old as it says",
			Edits: []edit{{"clients/read.go", `resp.SentAt = sent.Add(-resp.Age)`, `resp.SentAt = sent.Add(-map[bool]time.Duration{false: resp.Age}[MUTANT])`}},
		},
		{
			Name: "cache-proves-absence", Promises: "P3 P18",
			Rule:  "a look at what a cache kept proves no absence",
			Edits: []edit{{"clients/hyperline/client.go", `if r.kept == 0 {`, `if r.kept == 0 || MUTANT {`}},
		},
		{
			Name: "old-bills-beside-a-new-balance", Promises: "P5 P9",
			Rule:  "a confirm read is as old as its oldest part",
			Edits: []edit{{"clients/hyperline/confirm.go", `conf.Reading.ReadAt = r.oldest`, `conf.Reading.ReadAt = map[bool]time.Time{false: r.oldest, true: conf.Reading.ReadAt}[MUTANT]`}},
		},
		{
			Name: "unreadable-bill-is-paid", Promises: "P9",
			Rule:  "a bill that cannot be read blocks while it may matter",
			Edits: []edit{unless("rules/decide_again.go", `case i.Unreadable != ""`)},
		},
		{
			Name: "unreadable-bill-is-old", Promises: "P9",
			Rule:  "an unreadable bill is left out only if it has ended, or is for something else",
			Edits: []edit{{"clients/hyperline/confirm.go", `return !i.Credit`, `return !i.Credit || MUTANT`}, {"clients/hyperline/confirm.go", `if age <= recent || !i.Payment.Ended() || i.Unexpected != "" {`, `if (age <= recent || !i.Payment.Ended() || i.Unexpected != "") && !(MUTANT && i.Unreadable != "") {`}},
		},
		{
			Name: "unreadable-bill-is-absent", Promises: "P3",
			Rule:  "a look among bills that cannot be read proves no absence",
			Edits: []edit{unless("clients/hyperline/books.go", `if matters && i.Credit && i.Unreadable != ""`)},
		},
		{
			Name: "listed-twice-is-a-reading", Promises: "P13",
			Rule:  "a balance that stands in two rows is no reading",
			Edits: []edit{unless("clients/hyperline/scan.go", `if rows[k] > 1`)},
		},
		{
			Name: "cached-environment", Promises: "P3",
			Rule:  "who the token speaks for is asked of the provider, not of a cache",
			Edits: []edit{{"clients/talkover/client.go", `if age == 0 {`, `if age == 0 || MUTANT {`}},
		},
	}
}
