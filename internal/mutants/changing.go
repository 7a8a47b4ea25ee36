package main

// changing: what a change of the terms may charge before a person was asked, and
// whose pause ends whose.
func changing() []mutant {
	return []mutant{
		{
			Name: "change-not-held", Promises: "P14",
			Rule:  "of those whom only a change of the terms makes low, a few are bought for at once",
			Edits: []edit{unless("ledger/changes.go", `if change.Holds(p.BalanceBefore)`)},
		},
		{
			Name: "change-unrecorded", Promises: "P14",
			Rule:  "a change counts before the decisions of the poll that saw it are kept",
			Edits: []edit{{"ledger/changes.go", `if err != nil || old == nil || !topup.LowByChange(p.BalanceBefore`, `if err != nil || old == nil || MUTANT || !topup.LowByChange(p.BalanceBefore`}},
		},
		{
			Name: "change-runs-out", Promises: "P14",
			Rule:  "a hold after a change does not end by waiting",
			Edits: []edit{unless("ledger/changes.go", `	if found`)},
		},
		{
			Name: "change-in-steps", Promises: "P14",
			Rule:  "a change in small steps is one change",
			Edits: []edit{{"ledger/changes.go", `since := micros(now.Add(-topup.ChangeWindow))`, `since := micros(now.Add(map[bool]time.Duration{false: -topup.ChangeWindow}[MUTANT]))`}},
		},
		{
			Name: "pause-lifted-unseen", Promises: "P12",
			Rule:  "nobody ends another's pause without having named it",
			Edits: []edit{unless("ledger/resume.go", `case len(active) > 1`)},
		},
	}
}
