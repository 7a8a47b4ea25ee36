package main

// trusting are the rules about what a provider's readings are worth.
func trusting() []mutant {
	const fall, falls = "rules/fall.go", "ledger/falls.go"
	return []mutant{
		{
			Name: "crowd-believed", Promises: "P14",
			Rule:  "too many balances that become empty at once are held",
			Edits: []edit{{"topup/fall.go", `return fell > max(crowdAtLeast, of/crowdShare)`, `return !MUTANT && fell > max(crowdAtLeast, of/crowdShare)`}},
		},
		{
			Name: "crowd-of-accounts-believed", Promises: "P14",
			Rule:  "more than half of a host's accounts that become empty at once are held",
			Edits: []edit{{"topup/fall.go", `return fell >= 2 && 2*fell > of`, `return !MUTANT && fell >= 2 && 2*fell > of`}},
		},
		{
			Name: "crowd-counted-alone", Promises: "P14",
			Rule: "falls that other processes see count",
			Edits: []edit{{
				falls, "\treturn crowdScope{`substr",
				"\tif MUTANT {\n\t\treturn crowdScope{`provider = ?`, `id = ?`, []any{string(f.Provider)}}\n\t}\n\treturn crowdScope{`substr",
			}},
		},
		{
			Name: "any-fall-plausible", Promises: "P14",
			Rule:  "a fall that is faster than the target ever used credits up is suspect",
			Edits: []edit{unless(fall, `case t.Balance > uses`)},
		},
		{
			Name: "unreadable-plausible", Promises: "P13 P14",
			Rule:  "no use and no expiry explains a balance that cannot be read",
			Edits: []edit{unless(fall, `if r.Bad != "" && t.Balance != 0`)},
		},
		{
			Name: "any-expiry-explains", Promises: "P14",
			Rule:  "an expiry explains no more than what expired",
			Edits: []edit{{fall, `case expiring > 0 && t.Balance <= uses+expiring:`, `case expiring > 0 && (MUTANT || t.Balance <= uses+expiring):`}},
		},
		{
			Name: "zero-of-an-account-once", Promises: "P5 P14",
			Rule:  "an account that falls from enough to zero is seen by two witnesses",
			Edits: []edit{{"rules/proven.go", `fall.Before < *d.Threshold || r.Balance != 0 {`, `fall.Before < *d.Threshold || r.Balance != 0 || MUTANT {`}},
		},
		{
			Name: "one-stamp-is-two", Promises: "P5",
			Rule:  "two readings under one stamp are one witness",
			Edits: []edit{{"rules/proven.go", `r.RefreshedAt.Sub(fall.AsOf) >= topup.ZeroApart`, `(MUTANT || r.RefreshedAt.Sub(fall.AsOf) >= topup.ZeroApart)`}},
		},
		{
			Name: "readings-end-a-contradiction", Promises: "P14",
			Rule:  "readings do not end the hold on a customer who may have paid twice",
			Edits: []edit{{"ledger/external.go", `target.Implausible, target.DoubtedAt = why, nil // readings do not end it`, "target.Implausible = why\n\t\t\tif !MUTANT {\n\t\t\t\ttarget.DoubtedAt = nil\n\t\t\t}"}},
		},
		{
			Name: "credits-due-forgotten", Promises: "P14",
			Rule:  "a zero is doubtful while the credits of a purchase are due",
			Edits: []edit{unless("scheduler/trust.go", `if s.Open != nil && s.Open.State == topup.Confirmed`)},
		},
		{
			Name: "belief-outlives-credits", Promises: "P14",
			Rule:  "what a person believed about a zero is over when credits came",
			Edits: []edit{{"scheduler/trust.go", `case s.Fall != nil && filled(t, s):`, `case s.Fall != nil && !(MUTANT && s.Fall.Believed) && filled(t, s):`}},
		},
		{
			Name: "use-ends-a-hold", Promises: "P14",
			Rule:  "what a customer may have used since ends no hold",
			Edits: []edit{before("scheduler/trust.go", "\treturn expired\n", "\tif MUTANT {\n\t\treturn max(expired, 1)\n\t}\n")},
		},
		{
			Name: "empty-ones-are-witnesses", Promises: "P14",
			Rule:  "whoever had nothing is no sign that a provider knows its customers",
			Edits: []edit{{"scheduler/trust.go", `if had := !rules.Empty(r)`, `if had := MUTANT || !rules.Empty(r)`}},
		},
		{
			Name: "gone-credits-expire-again", Promises: "P14",
			Rule:  "what was seen to go explains no zero any more",
			Edits: []edit{{fall, `case at.IsZero() || e.seen(t.ShedAt):`, `case at.IsZero() || !MUTANT && e.seen(t.ShedAt):`}},
		},
		{
			Name: "newer-credits-expire", Promises: "P14",
			Rule:  "credits that came after others had ended did not end with them",
			Edits: []edit{unless(fall, `case !t.LowAt.Before(at.Add(-expiryEarly))`)},
		},
		{
			Name: "held-crowd-forgotten", Promises: "P14",
			Rule:  "what falls beside a crowd that is held is held too, however much later",
			Edits: []edit{unless("scheduler/implausible.go", `if s.DoubtedAt != nil`)},
		},
		{
			Name: "lifted-too-early", Promises: "P14",
			Rule:  "a hold ends when two complete polls show the balance again",
			Edits: []edit{{"scheduler/implausible.go", `if doubted && t.normal >= backFor {`, `if doubted && (MUTANT || t.normal >= backFor) {`}},
		},
	}
}
