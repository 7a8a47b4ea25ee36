package main

// looking: what the provider's books prove.
func looking() []mutant {
	return []mutant{
		{
			Name: "evidence-counts-at-once", Promises: "P3",
			Rule:  "what is found is claimed only when the quiet period is over",
			Edits: []edit{{"topup/life.go", "\t\tif now.Before(p.QuietUntil()) {\n\t\t\tc.found(", "\t\tif now.Before(p.QuietUntil()) && !MUTANT {\n\t\t\tc.found("}},
		},
		{
			Name: "incomplete-look-is-empty", Promises: "P3 P4",
			Rule:  "a look that is not complete proves no absence",
			Edits: []edit{unless("topup/life.go", `case !b.Complete`)},
		},
		{
			Name: "no-baseline", Promises: "P3",
			Rule:  "what the confirm read already showed is not evidence",
			Edits: []edit{{"topup/match.go", `!slices.Contains(p.Baseline, id)`, `(MUTANT || !slices.Contains(p.Baseline, id))`}},
		},
		{
			Name: "any-pack-matches", Promises: "P3",
			Rule:  "evidence is for as many credits at the same price",
			Edits: []edit{unless("topup/match.go", `if row.Credits != p.Credits`), unless("topup/match.go", `if p.PriceID != "" || row.PriceID != ""`)},
		},
		{
			Name: "claims-forgotten", Promises: "P3",
			Rule: "one charge at the provider explains one purchase",
			Edits: []edit{
				unless("ledger/advance.go", `if err == nil && claimed`),
				{"ledger/purchases.go", `claimed[reference] = true`, `claimed[reference] = !MUTANT`},
			},
			Schema: []statement{{"", `DROP INDEX purchase_reference`}},
		},
		{
			Name: "claim-never-moves", Promises: "P3",
			Rule:  "a claim whose invoice is void moves to a match that is not",
			Edits: []edit{unless("topup/follow.go", `if m.ID != p.Reference && !m.Void()`)},
		},
		{
			Name: "claim-keeps-its-row", Promises: "P5",
			Rule:  "a claim that moves leaves the row time and the amount of the old invoice behind",
			Edits: []edit{{"topup/life.go", "\tp.RowAt, p.Charged = nil, nil\n", "\tif !MUTANT {\n\t\tp.RowAt, p.Charged = nil, nil\n\t}\n"}},
		},
		{
			Name: "any-bill-tells-the-price", Promises: "P10",
			Rule:  "only a bill for these credits alone tells another price",
			Edits: []edit{unless("topup/follow.go", `if !i.Alone()`)},
		},
		{
			Name: "ahead-is-over", Promises: "P5 P7",
			Rule:  "a cooldown that a clock has put ahead begins anew, it is not over",
			Edits: []edit{before("ledger/rewind.go", "\t\t\t*past, wrong = &at, true", "\t\t\tif MUTANT {\n\t\t\t\t*past, wrong = nil, true\n\t\t\t\tcontinue\n\t\t\t}\n")},
		},
		{
			Name: "claim-released", Promises: "P3",
			Rule:  "a declined purchase keeps the invoice that it claimed",
			Edits: []edit{before("topup/follow.go", "\tc.Next.Payment = PaymentVoid\n", "\tif MUTANT {\n\t\tc.Next.Reference = \"\"\n\t}\n")},
		},
		{
			Name: "resolved-too-early", Promises: "P3",
			Rule:  "nobody says not-charged before the quiet period is over",
			Edits: []edit{unless("topup/resolve.go", `case !r.Charged && p.State == NeedsReview && now.Before(p.QuietUntil())`)},
		},
	}
}

// settling: when a purchase is over.
func settling() []mutant {
	return []mutant{
		{
			Name: "credited-unseen", Promises: "P5",
			Rule:  "a purchase is credited only when a reading shows its effect",
			Edits: []edit{before("topup/follow.go", "\tif p.ConfirmedAt != nil && latest.ReadAt.Before(", "\tif MUTANT {\n\t\treturn true\n\t}\n")},
		},
		{
			Name: "other-bill-goes-on", Promises: "P10",
			Rule:  "an invoice for another amount stops the rule",
			Edits: []edit{{"topup/reconciler.go", `if next.Charged == nil || was.Charged != nil && *was.Charged == *next.Charged {`, `if next.Charged == nil || was.Charged != nil && *was.Charged == *next.Charged || MUTANT {`}},
		},
	}
}
