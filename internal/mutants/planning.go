package main

// planning: what may be planned, and how often.
func planning() []mutant {
	return []mutant{
		{
			Name: "nobody-goes-first", Promises: "P10",
			Rule:  "one purchase goes alone until a bill shows that the price is what is charged",
			Edits: []edit{{"ledger/canary.go", "\tcase c.Waits(now):\n", "\tcase c.Waits(now) && !MUTANT:\n"}},
		},
		{
			Name: "proof-of-another-price", Promises: "P10",
			Rule:  "a bill of another amount shows nothing about the price",
			Edits: []edit{{"topup/target.go", "return i.Alone() && i.Amount == price", "return i.Alone() && (i.Amount == price || MUTANT)"}},
		},
		{
			Name: "no-unique-index", Promises: "P1",
			Rule: "at most one open purchase per target, whoever plans",
			Edits: []edit{
				unless("ledger/plan.go", `if found`),
			},
			Schema: []statement{{"", `DROP INDEX purchase_one_open`}},
		},
		{
			Name: "no-version-fence", Promises: "P1",
			Rule:  "nothing is planned on facts that another purchase or an import has overtaken",
			Edits: []edit{unless("ledger/plan.go", `if f.Version != target.Version`)},
		},
		{
			Name: "version-stands-still", Promises: "P1",
			Rule: "every plan and every end of a purchase overtakes what was read before it",
			Edits: []edit{
				{"ledger/plan.go", `target.Version++`, "if !MUTANT {\n\t\t\ttarget.Version++\n\t\t}"},
				{"ledger/advance.go", `s.target.Version++`, "if !MUTANT {\n\t\ts.target.Version++\n\t}"},
			},
		},
		{
			Name: "facts-never-old", Promises: "P5",
			Rule:  "nothing is planned on a confirm read older than max_reading_age by the database clock",
			Edits: []edit{unless("ledger/plan.go", `age > f.MaxAge`)},
		},
		{
			Name: "confirmed-does-not-block", Promises: "P1 P5",
			Rule: "a confirmed purchase blocks its target until its effect is seen",
			Edits: []edit{
				{"ledger/plan.go", "product = ? AND `+isOpen,", "product = ? AND `+isOpen+unconfirmed(MUTANT),"},
				{"ledger/targets.go", "open, err := v.purchases(ctx, `provider = ? AND customer = ? AND product = ? AND `+isOpen,", "open, err := v.purchases(ctx, `provider = ? AND customer = ? AND product = ? AND `+isOpen+unconfirmed(MUTANT),"},
				{"ledger/targets.go", "open, err := v.purchases(ctx, openAt,", "open, err := v.purchases(ctx, openAt+unconfirmed(MUTANT),"},
			},
			Schema: []statement{
				{"", `DROP INDEX purchase_one_open`},
				{"", `CREATE UNIQUE INDEX purchase_one_open ON purchase (provider, customer, product)
					WHERE state NOT IN ('credited', 'declined', 'cancelled', 'confirmed')`},
			},
		},
		{
			Name: "lease-not-checked", Promises: "P12",
			Rule: "only the holder of the lease plans",
			Edits: []edit{{
				"ledger/plan.go", `if err := provider.allows(now, r.Lease, r.TokenFingerprint); err != nil {`,
				`if err := provider.allows(now, r.Lease, r.TokenFingerprint); err != nil && !(MUTANT && errors.Is(err, topup.ErrLeaseLost)) {`,
			}},
		},
		{
			Name: "first-purchase-at-once", Promises: "P1",
			Rule: "a ledger that has never seen a provider waits before its first purchase there",
			Edits: []edit{
				unless("ledger/plan.go", `now.Before(until)`),
				unless("rules/decide.go", `case f.FirstHold > 0`),
			},
		},
		{
			Name: "quarantine-ignored", Promises: "P18",
			Rule: "nothing is bought at a provider in quarantine",
			Edits: []edit{
				unless("ledger/providers.go", `case r.Quarantined != ""`),
				unless("rules/decide.go", `case s.Quarantined != ""`),
			},
		},
		{
			Name: "implausible-not-held", Promises: "P14",
			Rule: "targets that are held as implausible are not bought for",
			Edits: []edit{
				unless("ledger/plan.go", `if row.Implausible != ""`),
				unless("rules/decide.go", `case f.Standing.Implausible != ""`),
			},
		},
		{
			Name: "caps-before-the-transaction", Promises: "P6",
			Rule:  "caps are counted in the transaction that plans",
			Edits: []edit{unless("ledger/caps.go", `if passed := passedBy(caps, totals, p); passed != nil`)},
		},
		{
			Name: "caps-forget-failures", Promises: "P6 P7",
			Rule:  "a purchase that may have run counts towards the caps even if it failed",
			Edits: []edit{{"ledger/advance.go", `s.Next.State == topup.Cancelled)`, `s.Next.State == topup.Cancelled || MUTANT)`}},
		},
		{
			Name: "caps-keep-what-never-ran", Promises: "P6",
			Rule:  "what certainly never ran keeps no place in a cap",
			Edits: []edit{{"ledger/caps.go", `if !count {`, `if !count || MUTANT {`}},
		},
		{
			Name: "import-unguarded", Promises: "P1 P3",
			Rule:  "what an open purchase may have made is not imported as somebody else's",
			Edits: []edit{unless("ledger/external.go", `if window.holds(r.At)`)},
		},
		{
			Name: "no-guards", Promises: "P2 P3",
			Rule:   "the schema itself refuses changes that the life of a purchase does not have",
			Schema: append(dropTrigger("purchase_updated"), dropTrigger("purchase_inserted")...),
		},
	}
}
