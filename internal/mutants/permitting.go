package main

// permitting: who may put a request on the wire, and when again.
func permitting() []mutant {
	return []mutant{
		{
			Name: "permit-from-any-state", Promises: "P1 P2",
			Rule: "the first permit is given to a planned purchase only, as it was read",
			Edits: []edit{
				unless("ledger/permit.go", `if state != topup.Planned`),
				before("ledger/permit.go", `		target, row, err := t.lockPurchase(ctx, r.Purchase)`,
					"\t\tif MUTANT && !r.Repeat {\n\t\t\t_, _ = t.find(ctx, &r.Purchase.Revision, `SELECT revision FROM purchase WHERE id = ?`, r.Purchase.ID)\n\t\t}\n"),
				{"ledger/permit.go", `found_at = NULL, changed_at = ?`, "found_at = NULL, `+map[bool]string{true: `finished_at = NULL, `}[MUTANT]+`changed_at = ?"},
			},
			Schema: dropTrigger("purchase_updated"),
		},
		{
			Name: "pause-not-in-permit", Promises: "P12",
			Rule:  "a pause holds from the next permit on, not only from the next plan",
			Edits: []edit{unless("ledger/permit.go", `if err := t.mayBuy(ctx, row.target(), row.Rule, target, probe && !r.Repeat, now); err != nil`)},
		},
		{
			Name: "stop-ignored", Promises: "P7",
			Rule:  "a provider that refuses the token gets no more purchases until it changes",
			Edits: []edit{unless("topup/life.go", `if a.Stop`)},
		},
		{
			Name: "repeat-before-quiet", Promises: "P3 P4",
			Rule: "a request is repeated only when the quiet period is over",
			Edits: []edit{
				unless("ledger/permit.go", `; now.Before(quiet)`),
				unless("topup/life.go", `if now.Before(next.QuietUntil())`),
			},
		},
		{
			Name: "quiet-from-first-send", Promises: "P3 P4",
			Rule: "the quiet period counts from the last send",
			Edits: []edit{
				{"ledger/permit.go", `instant(*row.LastSentAt)`, `instant(map[bool]int64{false: *row.LastSentAt, true: *row.SentAt}[MUTANT])`},
				before("topup/purchase.go", `	return p.LastSentAt.Add(max(`, "\tif MUTANT {\n\t\treturn p.SentAt.Add(p.QuietPeriod)\n\t}\n"),
			},
		},
		{
			Name: "quiet-period-too-short", Promises: "P3 P4",
			Rule: "the quiet period is longer than any late execution",
			Edits: []edit{
				{"ledger/permit.go", `Add(span(row.QuietPeriodUS))`, `Add(span(row.QuietPeriodUS) / map[bool]time.Duration{false: 1, true: 60}[MUTANT])`},
				{"topup/purchase.go", "\t\treturn p.PlannedAt\n\t}\n", "\t\treturn p.PlannedAt\n\t}\n\tif MUTANT {\n\t\treturn p.LastSentAt.Add(p.QuietPeriod / 60)\n\t}\n"},
			},
		},
		{
			Name: "one-empty-look", Promises: "P4",
			Rule: "two complete empty looks come before a repeat, not one",
			Edits: []edit{
				unless("ledger/permit.go", `row.EmptyLooks < 2`),
				before("topup/life.go", `	if next.EmptyLooks == 1 {`,
					"\tif MUTANT && next.EmptyLookAt == nil {\n\t\tlongAgo := now.Add(-next.QuietPeriod)\n\t\tnext.EmptyLooks, next.EmptyLookAt = next.EmptyLooks+1, &longAgo\n\t}\n"),
			},
		},
		{
			Name: "unlimited-repeats", Promises: "P4",
			Rule: "a request is repeated at most three times",
			Edits: []edit{
				unless("ledger/permit.go", `row.Repeats >= topup.MaxRepeats`),
				{"ledger/permit.go", `at, bit(r.Repeat),`, `at, bit(r.Repeat && !(MUTANT && row.Repeats >= topup.MaxRepeats)),`},
				{"topup/purchase.go", `p.Policy == PolicyRetry && p.Repeats < MaxRepeats`, `p.Policy == PolicyRetry && (p.Repeats < MaxRepeats || MUTANT)`},
			},
		},
		{
			Name: "key-used-too-late", Promises: "P4",
			Rule:  "a key is used for 12 hours, half of what the provider remembers, checked in the permit",
			Edits: []edit{unless("ledger/permit.go", `age > topup.KeyLifetime`)},
		},
		{
			Name: "key-aged-by-one-clock", Promises: "P4",
			Rule:  "a key ages by the later of the database's and the provider's clock",
			Edits: []edit{unless("ledger/permit.go", `if r.ServerTime.After(clock)`)},
		},
		{
			Name: "repeat-after-a-no", Promises: "P4",
			Rule: "a request that was refused is never repeated",
			Edits: []edit{
				{"ledger/permit.go", `row.Refused != 0 ||`, `row.Refused != 0 && !MUTANT ||`},
				unless("topup/life.go", `case next.Refused`),
			},
		},
		{
			Name: "repeat-where-keys-are-ignored", Promises: "P4",
			Rule:  "nothing is repeated where a repeat was seen to be charged again, checked in the permit",
			Edits: []edit{unless("ledger/capabilities.go", `if found.KeysIgnored`)},
		},
		{
			Name: "findings-not-obeyed", Promises: "P4",
			Rule:  "what was found out about a provider holds for purchases planned before",
			Edits: []edit{unless("topup/reconciler.go", `if r.Found != nil`)},
		},
		{
			Name: "repeat-without-deciding", Promises: "P4 P5",
			Rule:  "a request is repeated only if it would be bought now",
			Edits: []edit{unless("topup/reconciler.go", `if again.Reason != Buy`)},
		},
		{
			Name: "repeat-over-evidence", Promises: "P3 P4",
			Rule:  "a row in the confirm read that may be this purchase forbids the repeat",
			Edits: []edit{unless("scheduler/again.go", `len(found) > 0`)},
		},
		{
			Name: "repeat-by-todays-rules", Promises: "P4",
			Rule: "deciding again goes by the terms that were frozen with the purchase",
			Edits: []edit{before("scheduler/again.go", `	standing, err := w.Standings.Standing(ctx, p.Target)`,
				"\tfor _, today := range w.Rulebook().Rules.Rules {\n\t\tif MUTANT && today.Name == p.Rule {\n\t\t\trule = today\n\t\t}\n\t}\n")},
		},
		{
			Name: "new-key-for-the-repeat", Promises: "P4",
			Rule: "a repeat goes out under the same key",
			Edits: []edit{before("topup/purchaser.go", `	// From here on the purchase is cut by nothing`,
				"\tif MUTANT && req.Repeat {\n\t\tp.Key, _ = NewKey()\n\t}\n")},
		},
	}
}
