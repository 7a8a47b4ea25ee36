package main

// deciding: what must be true for a purchase.
func deciding() []mutant {
	const decide, again = "rules/decide.go", "rules/decide_again.go"
	return []mutant{
		{
			Name: "no-confirm-read", Promises: "P5 P8 P9 P10",
			Rule: "everything is read again right before buying",
			Edits: []edit{{
				"scheduler/check.go", "\tread, err := w.Reader.Confirm(ctx, d.Order)\n",
				"\tread, err := w.Reader.Confirm(ctx, d.Order)\n\tif MUTANT {\n\t\tread, err = topup.Confirmation{Reading: c.t.reading}, nil\n\t\tread.Reading.ReadAt = w.Now()\n\t}\n",
			}},
		},
		{
			Name: "external-not-imported", Promises: "P5",
			Rule:  "what somebody else added is known before anything is bought",
			Edits: []edit{{"scheduler/check.go", `w.Planner.Import(ctx, c.target, read.Topups)`, `w.Planner.Import(ctx, c.target, map[bool][]topup.Topup{false: read.Topups}[MUTANT])`}},
		},
		{
			Name: "second-reading-at-once", Promises: "P5",
			Rule:  "the second low reading comes confirm_after the first",
			Edits: []edit{{again, `c.Reading.ReadAt.Sub(*f.FirstLow) < f.Rule.ConfirmAfter`, `c.Reading.ReadAt.Sub(*f.FirstLow) < f.Rule.ConfirmAfter && !MUTANT`}},
		},
		{
			Name: "old-first-low-counts", Promises: "P5",
			Rule:  "a reading that replaces one that was too old is the first of two",
			Edits: []edit{{"scheduler/conclude.go", `t.reading, t.spell.low = *c.fresh, c.fresh.ReadAt`, "t.reading = *c.fresh\n\t\tif !MUTANT {\n\t\t\tt.spell.low = c.fresh.ReadAt\n\t\t}"}},
		},
		{
			Name: "stale-balance-counts", Promises: "P5",
			Rule:  "a balance older than the newest known credit addition decides nothing",
			Edits: []edit{unless(decide, `if newest != nil`)},
		},
		{
			Name: "old-reading-counts", Promises: "P5",
			Rule:  "a reading older than max_reading_age decides nothing",
			Edits: []edit{unless(decide, `age > f.Rule.MaxReadingAge`)},
		},
		{
			Name: "bad-reading-counts", Promises: "P13",
			Rule:  "a balance that cannot be read is not zero",
			Edits: []edit{unless(decide, `case r.Bad != ""`), unless(again, `case c.Reading.Bad != ""`)},
		},
		{
			Name: "bought-at-the-threshold", Promises: "P5",
			Rule: "strictly below the threshold is low, at it is not",
			Edits: []edit{
				{decide, `if f.Reading.Balance >= *d.Threshold {`, `if f.Reading.Balance > *d.Threshold || f.Reading.Balance == *d.Threshold && !MUTANT {`},
				{again, `case c.Reading.Balance >= *d.Threshold:`, `case c.Reading.Balance > *d.Threshold || c.Reading.Balance == *d.Threshold && !MUTANT:`},
			},
		},
		{
			Name: "native-topup-ignored", Promises: "P8",
			Rule: "nothing is bought where the provider tops up itself",
			Edits: []edit{
				unless(decide, `if f.Reading.Native != ""`),
				unless(again, `case c.Reading.Native != ""`),
				unless(again, `case c.NativeProblem != ""`),
			},
		},
		{
			Name: "unpaid-ignored", Promises: "P9",
			Rule: "nothing is bought over a failed credit invoice or too many pending ones",
			Edits: []edit{
				unless(again, `case i.Payment == topup.PaymentFailed`),
				unless(again, `if pending > allowed`),
			},
		},
		{
			Name: "price-not-compared", Promises: "P10",
			Rule:  "a provider price that differs from the configured one stops the purchase",
			Edits: []edit{unless(again, `case c.PriceProblem != ""`)},
		},
		{
			Name: "currency-not-compared", Promises: "P10",
			Rule: "a customer billed in another currency is not charged",
			Edits: []edit{
				unless(decide, `case a.Currency != ""`),
				unless(again, `case c.CurrencyProblem != ""`),
			},
		},
		{
			Name: "environment-not-compared", Promises: "P13",
			Rule:  "nothing is bought while the token's owner is in another environment",
			Edits: []edit{unless(again, `case c.EnvironmentProblem != ""`)},
		},
		{
			Name: "backoff-ignored", Promises: "P7",
			Rule: "a declined customer rests, and a suspended one waits for a change",
			Edits: []edit{
				unless(decide, `return f.Standing.SuspendedAt != nil && !f.otherTerms()`),
				unless(decide, `return until != nil && f.Standing.Now.Before(*until) && !f.otherTerms()`),
			},
		},
		{
			Name: "refund-bought-again", Promises: "P12",
			Rule:  "what was refunded is not bought again before a person says so",
			Edits: []edit{before(again, "\t\td.Refund = i.ID\n", "\t\tif MUTANT {\n\t\t\treturn false\n\t\t}\n")},
		},
		{
			Name: "cooldown-ignored", Promises: "P5",
			Rule: "after any addition of credits the balance has the cooldown to show it",
			Edits: []edit{
				unless(decide, `case s.ExternalAt != nil`),
				unless(decide, `case s.CreditedAt != nil`),
				unless(decide, `case s.EndedAt != nil`),
			},
		},
		{
			Name: "dry-before-not-doubted", Promises: "P14",
			Rule:  "who was dry and got credits is doubted with the others when everybody shows zero",
			Edits: []edit{{"scheduler/trust.go", `return s.NewestRowAt != nil && `, `return !MUTANT && s.NewestRowAt != nil && `}},
		},
	}
}
