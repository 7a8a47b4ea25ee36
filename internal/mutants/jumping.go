package main

// jumping: what a rise of the balance proves where there are no books.
func jumping() []mutant {
	const trail, file = "topup/trail.go", "topup/jump.go"
	return []mutant{
		{
			Name: "rise-over-a-gap", Promises: "P3",
			Rule: "a rise counts between two balances read at most 30 seconds apart",
			Edits: []edit{
				unless(trail, `if b.ReadAt.Sub(a.ReadAt) > JumpGap`),
				{trail, `b.AsOf.Sub(a.AsOf) <= JumpGap`, `b.AsOf.Sub(a.AsOf) <= JumpGap || MUTANT`},
			},
		},
		{
			Name: "rise-of-any-height", Promises: "P3",
			Rule:  "a rise counts from four fifths of what was bought up to all of it",
			Edits: []edit{{trail, `return rise >= leastRise(amount) && rise <= amount`, `return rise >= leastRise(amount) && rise <= amount || MUTANT && rise > 0`}},
		},
		{
			Name: "rise-of-another-environment", Promises: "P3",
			Rule:  "a balance counts only while the token's owner is in the target's environment",
			Edits: []edit{{file, `case s.EnvironmentProblem != ""`, `case s.EnvironmentProblem != "" && !MUTANT`}},
		},
		{
			Name: "rise-beside-native-topup", Promises: "P3 P8",
			Rule:  "a balance counts only while the provider's own top-up is off",
			Edits: []edit{{file, `|| s.Reading.Native != "" ||`, `|| s.Reading.Native != "" && !MUTANT ||`}},
		},
		{
			Name: "rise-after-another-charge", Promises: "P3 P10",
			Rule:  "a rise confirms nothing when the answer named what explains another purchase",
			Edits: []edit{unless(file, `case next.Reason == FailedMismatch`)},
		},
		{
			Name: "rise-explained-otherwise", Promises: "P3",
			Rule:  "a rise that something else may have made confirms nothing",
			Edits: []edit{{file, `		other = o.explain(*next, j)`, "\t\tother = map[bool]string{false: o.explain(*next, j)}[MUTANT]"}},
		},
		{
			Name: "apart-by-one-reading", Promises: "P3",
			Rule:  "one balance that differs proves no account apart",
			Edits: []edit{{trail, `a.Times >= apartTimes`, `(a.Times >= apartTimes || MUTANT)`}},
		},
		{
			Name: "apart-while-it-rises", Promises: "P3",
			Rule:  "accounts are compared only while the balance stands still",
			Edits: []edit{unless(trail, `if high-low > little`)},
		},
		{
			Name: "astray-explains-nothing", Promises: "P3",
			Rule:  "a purchase whose credits were seen nowhere explains a rise of every account",
			Edits: []edit{{file, `unseen := p.FinishedAt == nil ||`, `unseen := p.FinishedAt == nil && !(apart && MUTANT) ||`}},
		},
		{
			Name: "answer-counts-without-its-rise", Promises: "P3 P10",
			Rule:  "an answer about another amount counts when the balance rose by that amount",
			Edits: []edit{{file, `if p.Trail.Said != nil {`, `if p.Trail.Said != nil && !MUTANT {`}},
		},
		{
			Name: "one-rise-of-two", Promises: "P3",
			Rule: "of two rises that fit neither confirms",
			Edits: []edit{
				{file, `case held == 1:`, `case held == 1 || MUTANT && held > 1:`},
				{file, `if len(jumps) != 1 {`, `if len(jumps) == 0 || len(jumps) > 1 && !MUTANT {`},
			},
		},
		{
			Name: "rise-claimed-at-once", Promises: "P3",
			Rule:  "a rise is claimed only when the quiet period is over",
			Edits: []edit{{file, "\tcase now.Before(quiet) && other == \"\":", "\tcase MUTANT && other == \"\":\n\t\tc.claimJump(j, now)\n\tcase now.Before(quiet) && other == \"\":"}},
		},
		{
			Name: "rise-for-a-moment", Promises: "P3",
			Rule:  "a rise counts only if a later balance still shows it",
			Edits: []edit{{trail, `slices.Clone(t.Jumps), func(j Jump) bool { return !j.Held }`, `slices.Clone(t.Jumps), func(j Jump) bool { return !j.Held && !MUTANT }`}},
		},
	}
}
