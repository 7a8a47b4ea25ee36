package main

// correcting: what a person says about a purchase afterwards.
func correcting() []mutant {
	const resolve, candidates = "topup/resolve.go", "topup/candidates.go"
	return []mutant{
		{
			Name: "correction-keeps-version", Promises: "P1",
			Rule:  "what was decided before a correction buys nothing",
			Edits: []edit{{"ledger/advance.go", `s.ends() || s.Correction {`, `s.ends() || s.Correction && !MUTANT {`}},
		},
		{
			Name: "denied-charge-not-counted", Promises: "P6",
			Rule:  "a charge that was denied counts towards the caps again when it is corrected",
			Edits: []edit{unless("ledger/advance.go", `case s.Next.State == topup.Credited && (from == topup.Declined || from == topup.Cancelled)`)},
		},
		{
			Name: "never-charged-still-counted", Promises: "P6",
			Rule:  "a charge that never was gives back what it took from the caps",
			Edits: []edit{{"ledger/advance.go", `!s.ends() && !s.Correction`, `!s.ends() && (MUTANT || !s.Correction)`}},
		},
		{
			Name: "corrected-in-quiet-period", Promises: "P3",
			Rule:  "nobody corrects to not charged while the request may still run",
			Edits: []edit{unless(resolve, `case !r.Charged && now.Before(p.QuietUntil())`)},
		},
		{
			Name: "corrected-by-the-way", Promises: "P3",
			Rule:  "a correction is corrected only by somebody who says that it was one",
			Edits: []edit{unless(resolve, `case p.CorrectedAt != nil && !r.Again`)},
		},
		{
			Name: "unsent-was-charged", Promises: "P3",
			Rule:  "what was never sent was never charged",
			Edits: []edit{unless(resolve, `case r.Charged && (p.SentAt == nil || p.LastSentAt == nil)`)},
		},
		{
			Name: "looked-up-charge-was-credited", Promises: "P5",
			Rule:  "an invoice that a person names is not seen as credited before its row is",
			Edits: []edit{{resolve, `case r.Seen == nil:`, `case r.Seen == nil || MUTANT:`}},
		},
		{
			Name: "void-bill-named", Promises: "P3",
			Rule:  "a void bill is no charge",
			Edits: []edit{{candidates, `		if m.Void() {`, `		if m.Void() && !MUTANT {`}},
		},
		{
			Name: "charge-not-named", Promises: "P3",
			Rule:  "a charge that the books show is named, so that nothing else claims it",
			Edits: []edit{{candidates, `	if len(found) == 0 {`, `	if len(found) == 0 || MUTANT {`}},
		},
		{
			Name: "corrected-bill-still-external", Promises: "P1",
			Rule: "a bill that a purchase explains blocks nothing as somebody else's",
			Edits: []edit{{
				"ledger/targets.go", "WHERE p.provider = external_topup.provider AND p.reference = external_topup.id) ORDER BY at DESC, id LIMIT ?`",
				"WHERE p.provider = external_topup.provider AND p.reference = external_topup.id AND p.id ` + map[bool]string{false: \"<>\", true: \"=\"}[MUTANT] + ` '') ORDER BY at DESC, id LIMIT ?`",
			}},
		},
	}
}
